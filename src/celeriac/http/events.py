"""Streams a job's events as server-sent events. A client that reconnects resumes where it left off."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from pydantic import StringConstraints

from celeriac.core.errors import BrokerUnavailable, UnknownJob
from celeriac.core.records import JobEvent
from celeriac.engine.app import JobApp
from celeriac.http.jobs import NO_NULL, JobId, in_time
from celeriac.http.problems import responses
from celeriac.http.route import NothingMore
from celeriac.http.sse import EventStream

#: The id of an entry in a Redis stream: milliseconds and a count. Both have 64 bits, and so many digits always fit.
EventId = Annotated[str, StringConstraints(max_length=37, pattern="^([0-9]{1,18}-[0-9]{1,18})?$")]

LastEventId = Annotated[
    EventId | None,
    NO_NULL,
    Header(description="Resume after this event; browsers send it by themselves when they reconnect"),
]

_FROM_THE_FIRST = "0-0"


def add_event_route(router: APIRouter, app: JobApp) -> None:
    """Add `GET /{job_id}/events` to `router`."""

    async def resume_after(job_id: JobId, last_event_id: LastEventId = None) -> str:
        """Return the event after which the stream begins. Raise errors now: a response that has begun cannot."""
        after = last_event_id or _FROM_THE_FIRST
        async with in_time(app):
            record = await app.client.get(job_id)
            if record.state.finished and after != _FROM_THE_FIRST and not await app.client.has_events(job_id, after):
                raise NothingMore  # a browser reconnects to a stream that ended, until it gets 204
        return after

    @router.get(
        "/{job_id}/events",
        status_code=200,
        # Not EventStream: FastAPI would describe the stream as a string, which no event matches.
        response_class=Response,
        summary="Stream a job's events",
        responses={
            200: {"description": "The events", "content": {EventStream.media_type: {}}},
            204: {"description": "The job has ended, and the client has all its events"},
            **responses(404, 422, 503),
        },
    )
    async def events(job_id: JobId, after: str = Depends(resume_after)) -> EventStream:
        """Send `state` and `progress` events, from the first that is still stored until the job ends."""
        return EventStream(_until_cut_off(app.client.events(job_id, after)))


async def _until_cut_off(events: AsyncGenerator[JobEvent | None]) -> AsyncGenerator[JobEvent | None]:
    """End the stream if the broker is lost. A response that has begun cannot report that, and clients reconnect."""
    async with aclosing(events):
        with suppress(BrokerUnavailable, UnknownJob):
            async for event in events:
                yield event
