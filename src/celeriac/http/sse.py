"""Encodes server-sent events. FastAPI can do so from 0.135 on, but Celeriac supports older versions.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from celeriac.core.records import JobEvent

#: Time of silence before a comment is sent, so that proxies keep the connection. The specification advises it.
KEEP_ALIVE_S = 15.0

_PING = b": ping\n\n"


class EventStream(StreamingResponse):
    """A response that sends a generator's events, and comments while there are none. It closes the generator."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[JobEvent | None]) -> None:
        """`events` yields None from time to time while there are no events."""
        self._events = events
        # nginx delays responses that it may cache or buffer.
        super().__init__(_encoded(events), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


async def _encoded(events: AsyncGenerator[JobEvent | None]) -> AsyncGenerator[bytes]:
    last = monotonic()
    async for event in events:
        if event is not None:
            yield encode(event)
        elif monotonic() - last >= KEEP_ALIVE_S:
            yield _PING
        else:
            continue
        last = monotonic()


def encode(event: JobEvent) -> bytes:
    """Encode one event. No part needs escapes: a line break would end a field, and JSON, names and ids have none."""
    return b"event: %s\ndata: %s\nid: %s\n\n" % (event.name.encode(), orjson.dumps(event.data), event.id.encode())
