"""The HTTP protocol of the API's server: uvicorn's, with time limits for a request to arrive.

uvicorn --http celeriac.server:TimedProtocol shop:api
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum, auto
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from celeriac.settings import load_settings

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as UvicornsProtocol
else:  # httptools if it is installed, else h11: both have the attributes used here
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as UvicornsProtocol

#: Bytes of a body that must arrive each second on average. The slowest lines can do so (Apache has the same default).
MIN_RATE = 500

#: How long a whole body may take.
LONGEST_BODY_S = 3600.0

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@cache
def request_timeout() -> float:
    """Return the setting `request_timeout`, in seconds."""
    return load_settings().request_timeout


class _Awaits(Enum):
    """The part of a request that the client still has to send."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()
    """The request has arrived and the application works on it, or the connection no longer speaks HTTP."""


class TimedProtocol(UvicornsProtocol):
    """uvicorn's protocol for one connection. It ends clients that send too slowly ("Slowloris").

    The head of a request must arrive in `request_timeout` seconds. In each further period of that length, a body must
    bring `MIN_RATE` bytes a second on average, except in its last. A whole body has `LONGEST_BODY_S` seconds. The clock
    stands still while the application does not read what has arrived. Responses have no time limit, so event streams
    stay open. Between two requests, uvicorn's `--timeout-keep-alive` applies.
    """

    _awaits = _Awaits.NOTHING
    _since = 0.0
    _arrived = 0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = cast("Any", _quiet_about_clients_that_leave(cast("ASGIApp", self.app)))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a client has connected."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Count bytes that have arrived."""
        super().data_received(data)
        self._look()
        self._arrived += len(data)

    def on_response_complete(self) -> None:
        """Wait for the next request after an answer. Some or all of it may be here already (HTTP pipelining)."""
        super().on_response_complete()
        if self._awaited() is _Awaits.BODY:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock: the connection has ended."""
        super().connection_lost(exc)
        self._wait_for(_Awaits.NOTHING)

    def _look(self) -> None:
        """Start the clock when the server begins to wait, and stop it when it has what it waited for."""
        awaits = self._awaited()
        if awaits is not self._awaits:
            self._since = self.loop.time()
            self._wait_for(awaits)

    def _awaited(self) -> _Awaits:
        if self not in self.connections or self.transport.is_closing():  # it may have become a WebSocket
            return _Awaits.NOTHING
        if self._is_free:
            return _Awaits.HEAD
        return _Awaits.BODY if self.cycle.more_body else _Awaits.NOTHING

    @property
    def _is_free(self) -> bool:
        """Return whether no request is being answered. The rest of an answered request's body counts as a head."""
        return cast("object | None", self.cycle) is None or self.cycle.response_complete

    def _wait_for(self, awaits: _Awaits) -> None:
        self._awaits, self._arrived = awaits, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if awaits is not _Awaits.NOTHING:
            self._timer = self.loop.call_later(request_timeout(), self._time_is_up)

    def _time_is_up(self) -> None:
        awaits = self._awaited()
        if awaits is not self._awaits:
            self._look()
        elif awaits is _Awaits.BODY and self._is_in_time():
            self._wait_for(awaits)
        else:
            self._end()

    def _is_in_time(self) -> bool:
        """Return whether enough of the body has arrived, or the client waits for the application.

        A client waits for the application to read, or to answer `100 Continue`.
        """
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            return True
        enough = self._arrived >= MIN_RATE * request_timeout()
        return enough and self.loop.time() - self._since < LONGEST_BODY_S

    def _end(self) -> None:
        if self._is_free:
            is_owed = self._arrived > 0  # else the client has sent nothing
        else:
            is_owed = not self.cycle.response_started
            self.cycle.disconnected = True  # drops what the application sends from now on
            self.cycle.message_event.set()
        is_unread = self.transport.get_write_buffer_size() > 0  # asked first: uvloop 0.21 sends nothing within `write`
        if is_owed:
            self.logger.info("%s - request ended: it arrived too slowly (408)", self.client)
            self.transport.write(_TOO_LATE)
        if is_unread:  # the client does not read: `close` would wait for ever
            self.transport.abort()
        else:
            self.transport.close()


def _quiet_about_clients_that_leave(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that a connection that ends amid a request leaves no traceback in the log."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await app(scope, receive, send)

    return quiet
