"""Reads records, listings and events of jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from celeriac.core.records import JobRecord, parse_record
from celeriac.store import keys
from celeriac.store.redis.runner import atomically, together

#: Most index entries that one page reads. A filter that matches few jobs yields short pages, never slow ones.
SCAN_LIMIT = 1000
#: Index entries that it reads in one step, after the first step.
SCAN_STEP = 250

_FORGOTTEN_LIFE_S = 3600

#: The fields of a record that a listing reads. It leaves out the arguments, which may be large.
_LISTED = (
    *(b"state", b"task", b"queue", b"created", b"updated", b"started", b"finished", b"delay_until", b"attempt"),
    *(b"progress", b"error", b"parent", b"priority", b"worker", b"cancel", b"children", b"open"),
    *(b"children_succeeded", b"children_failed", b"children_cancelled"),
)


def _commands(client: Redis) -> Any:
    """Return the client without its types, which are unions over every protocol and decoding option."""
    return client


@dataclass(frozen=True, slots=True)
class Standing:
    """The facts that a worker needs of a running job.

    Attributes:
        cancel: whether to cancel it.
        run: the number of its latest run.
        parent_run: the run of its parent that has fanned out to it.
        fan_out: the run of its own that has fanned out last.
    """

    cancel: bool
    run: int | None
    parent_run: int | None
    fan_out: int | None


async def standings(client: Redis, job_ids: list[str]) -> dict[str, Standing]:
    """Return the standing of each job."""
    fields = ("cancel", "run", "parent_run", "fan_out")
    replies = await together(client, [("HMGET", keys.record(job_id), *fields) for job_id in job_ids])
    return {
        job_id: Standing(cancel is not None, *(None if run is None else int(run) for run in runs))
        for job_id, (cancel, *runs) in zip(job_ids, replies, strict=True)
    }


async def get_record(client: Redis, job_id: str) -> JobRecord | None:
    """Read the job's record. Return None if the id is unknown."""
    fields = await _commands(client).hgetall(keys.record(job_id))
    return parse_record(job_id, fields) if b"state" in fields else None


async def forget(client: Redis, job_id: str) -> None:
    """Remove a job from the list. Its record stays for an hour, for a worker that may still get its message."""
    left = (keys.record(job_id), keys.events(job_id), keys.result(job_id))
    shortened = [("EXPIRE", key, _FORGOTTEN_LIFE_S) for key in left]
    await atomically(client, [("ZREM", keys.JOB_INDEX, job_id), *shortened])


async def list_records(
    client: Redis, *, cursor: str | None, limit: int, matches: Callable[[JobRecord], bool]
) -> tuple[list[JobRecord], str | None]:
    """Read a page of jobs, newest first and without their arguments. Return it with the next cursor (None at the end).

    The cursor is `<created ms>_<id>` of the last entry read, so jobs that come or go do not disturb the next page.
    """
    found: list[JobRecord] = []
    looked_at = 0
    async with aclosing(_index(client, cursor, first=limit)) as steps:
        async for entries in steps:
            for (score, job_id), record in zip(entries, await _listed(client, entries), strict=True):
                looked_at += 1
                if record is not None and matches(record):
                    found.append(record)
                if len(found) == limit or looked_at == SCAN_LIMIT:
                    return found, f"{score}_{job_id}"
    return found, None


async def _listed(client: Redis, entries: list[tuple[int, str]]) -> list[JobRecord | None]:
    """Read the records of index entries; None for those that have expired."""
    replies = await together(client, [("HMGET", keys.record(job_id), *_LISTED) for _, job_id in entries])
    records: list[JobRecord | None] = []
    for (_, job_id), values in zip(entries, replies, strict=True):
        fields = {name: value for name, value in zip(_LISTED, values, strict=True) if value is not None}
        records.append(parse_record(job_id, fields) if b"state" in fields else None)
    return records


async def _index(client: Redis, cursor: str | None, *, first: int) -> AsyncGenerator[list[tuple[int, str]]]:
    """Yield the index after `cursor` in steps, as (created ms, id), newest first. The first has `first` entries."""
    last = _split_cursor(cursor)
    top, seen_at_top, step = "+inf" if last is None else str(last[0]), 0, first
    while True:
        # Read by score, since new jobs would shift ranks. Jobs of one batch may share a score.
        batch: list[tuple[bytes, float]] = await _commands(client).zrange(
            keys.JOB_INDEX, top, "-inf", desc=True, byscore=True, offset=seen_at_top, num=step, withscores=True
        )
        if not batch:
            return
        entries = [(int(score), raw.decode()) for raw, score in batch]
        yield [entry for entry in entries if last is None or entry < last]
        last = min(entries[-1], last or entries[-1])
        lowest = str(last[0])
        at_lowest = sum(score == last[0] for score, _ in entries)
        top, seen_at_top, step = lowest, at_lowest + (seen_at_top if lowest == top else 0), SCAN_STEP


def _split_cursor(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    score, _, job_id = cursor.partition("_")
    return int(score), job_id
