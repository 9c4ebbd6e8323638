"""Reading jobs back: records, listings, outcomes and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from redis.asyncio import Redis

from celeriac.core.records import JobEvent, JobRecord, parse_record
from celeriac.store import keys

#: How many index entries one page may look at. A filter that matches little yields short pages, never slow ones.
SCAN_LIMIT = 1000


def _commands(client: Redis) -> Any:
    """The client without its types, which are unions over every protocol and decoding option."""
    return client


async def ping(client: Redis) -> None:
    """Ask the server whether it is there."""
    await _commands(client).ping()


async def cancel_requested(client: Redis, job_ids: list[str]) -> set[str]:
    """Those of the jobs that are to be cancelled."""
    pipeline = _commands(client).pipeline(transaction=False)
    for job_id in job_ids:
        pipeline.hexists(keys.record(job_id), "cancel")
    replies = await pipeline.execute()
    return {job_id for job_id, asked in zip(job_ids, replies, strict=True) if asked}


async def get_record(client: Redis, job_id: str) -> JobRecord | None:
    """The job's record, or None if the id is unknown."""
    fields = await _commands(client).hgetall(keys.record(job_id))
    return parse_record(job_id, fields) if b"state" in fields else None


async def get_outcome(client: Redis, job_id: str) -> dict[str, Any] | None:
    """The outcome in Celery's format (`status`, `result`, ...), or None if none is stored."""
    raw = await _commands(client).get(keys.result(job_id))
    return orjson.loads(raw) if raw else None


async def list_records(
    client: Redis, *, cursor: str | None, limit: int, matches: Callable[[JobRecord], bool]
) -> tuple[list[JobRecord], str | None]:
    """A page of jobs, newest first, and the cursor of the next page (None after the last).

    The cursor is `<created ms>_<id>` of the last entry looked at, so a page is not disturbed by jobs that come or go.
    """
    top, last = _split_cursor(cursor)
    found: list[JobRecord] = []
    looked_at = skip = 0
    while looked_at < SCAN_LIMIT:
        batch: list[tuple[bytes, float]] = await _commands(client).zrange(
            keys.JOB_INDEX, top, "-inf", desc=True, byscore=True, offset=skip, num=limit, withscores=True
        )
        if not batch:
            return found, None
        skip += len(batch)
        entries = [(raw.decode(), int(score)) for raw, score in batch]
        if last is not None:
            entries = [(i, s) for i, s in entries if (s, i) < last]
        pipeline = _commands(client).pipeline(transaction=False)
        for job_id, _ in entries:
            pipeline.hgetall(keys.record(job_id))
        for (job_id, score), fields in zip(entries, await pipeline.execute(), strict=True):
            looked_at += 1
            record = parse_record(job_id, fields) if b"state" in fields else None
            if record is not None and matches(record):
                found.append(record)
            if len(found) == limit or looked_at == SCAN_LIMIT:
                return found, f"{score}_{job_id}"
    return found, None


def _split_cursor(cursor: str | None) -> tuple[str, tuple[int, str] | None]:
    if cursor is None:
        return "+inf", None
    score, _, job_id = cursor.partition("_")
    return str(int(score)), (int(score), job_id)


async def read_events(client: Redis, job_id: str, after: str, limit: int = 200) -> list[JobEvent]:
    """Events of a job that came after the event id `after` (`0-0`: from the first that is kept)."""
    entries: list[Any] = await _commands(client).xrange(keys.events(job_id), min=f"({after}", max="+", count=limit)
    return [JobEvent(raw.decode(), fields[b"name"].decode(), orjson.loads(fields[b"data"])) for raw, fields in entries]
