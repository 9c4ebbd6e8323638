"""Reads the events of jobs. Those of most runs follow from the record, and are not stored a second time.

If a job began with its taking (`take.lua`), only the record tells when it began. If it then succeeded (`succeed.lua`),
only the record tells that. All other events are stored as they happen.
"""

from __future__ import annotations

from typing import Any

import orjson
from redis.asyncio import Redis

from celeriac.core.records import JobEvent
from celeriac.core.states import FINISHED, JobState
from celeriac.store import keys
from celeriac.store.redis.runner import atomically

#: The most events that one look reads.
_MOST = 200
#: The last id that an entry of a millisecond may have: an id of our own that sorts behind all entries of it.
_LAST = 10**18 - 1
_BEFORE_A_RUN = (JobState.SCHEDULED, JobState.QUEUED)


async def read_events(client: Redis, job_id: str, after: str) -> list[JobEvent]:
    """Read the next events of a job after the event id `after` (`0-0`: from the first that is known)."""
    stream = keys.events(job_id)
    fields, first, rest, last = await atomically(
        client,
        [
            ("HMGET", keys.record(job_id), "state", "started", "finished"),
            ("XRANGE", stream, "-", "+", "COUNT", 1),
            ("XRANGE", stream, f"({after}", "+", "COUNT", _MOST),
            ("XREVRANGE", stream, "+", "-", "COUNT", 1),
        ],
    )
    state, started, finished = (value.decode() if value else "" for value in fields)
    events = [_event(entry) for entry in rest]
    if started and not (first and _tells_beginning(_event(first[0]))):
        begun = JobEvent(f"{int(started) - 1}-{_LAST}", "state", {"state": JobState.RUNNING.value, "attempt": 1})
        events = [begun, *events] if _is_after(begun.id, after) else events
    is_all = len(events) < _MOST
    if state in FINISHED and finished and is_all and not (last and _event(last[0]).final):
        ended = JobEvent(f"{finished}-{_LAST}", "state", {"state": state})
        events += [ended] if _is_after(ended.id, after) else []
    return events


def _event(entry: Any) -> JobEvent:
    raw, (_, name, _, data) = entry
    return JobEvent(raw.decode(), name.decode(), orjson.loads(data))


def _tells_beginning(event: JobEvent) -> bool:
    """Return whether the first stored event shows that the beginning of the first run is stored, too."""
    state = event.data.get("state")
    return state in _BEFORE_A_RUN or (state == JobState.RUNNING and "attempt" in event.data)


def _is_after(event_id: str, after: str) -> bool:
    return _parts(event_id) > _parts(after)


def _parts(event_id: str) -> list[int]:
    return [int(part) for part in event_id.split("-")]
