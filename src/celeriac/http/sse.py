"""Server-sent events, as bytes of an answer. FastAPI has its own from 0.135 on; older ones are supported.

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

#: Seconds of silence after which a comment is sent, so that proxies keep the connection; the specification's advice.
KEEP_ALIVE = 15.0

_PING = b": ping\n\n"


class EventStream(StreamingResponse):
    """Sends the events of a generator, which is closed with the answer, and comments while there are none."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[JobEvent | None]) -> None:
        """`events` yields None from time to time while there is nothing to tell."""
        self._events = events
        # nginx holds back what it may cache or buffer.
        super().__init__(_encoded(events), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


async def _encoded(events: AsyncGenerator[JobEvent | None]) -> AsyncGenerator[bytes]:
    last = monotonic()
    async for event in events:
        if event is not None:
            yield encode(event)
        elif monotonic() - last >= KEEP_ALIVE:
            yield _PING
        else:
            continue
        last = monotonic()


def encode(event: JobEvent) -> bytes:
    """One event. Neither JSON nor the names and ids of ours have line breaks, which would end a field."""
    return b"event: %s\ndata: %s\nid: %s\n\n" % (event.name.encode(), orjson.dumps(event.data), event.id.encode())
