"""The runs of syncs, and the records that they have rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from celeriac.database.clock import now_ms
from celeriac.families.sync.converting import to_json
from celeriac.families.sync.counts import Counts
from celeriac.families.sync.pages import Refusal
from celeriac.families.sync.states import IDLE, all_of
from celeriac.families.sync.tables import reject_table as rejects
from celeriac.families.sync.tables import run_table as runs

#: Characters that are kept of a rejected record, and of a reason.
_LONGEST_RECORD, _LONGEST_REASON = 8000, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a sync. Times are milliseconds since the epoch."""

    id: str
    sync: str
    state: str
    error: str | None
    counts: dict[str, Counts]
    started_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A record that was not written, as far as it is kept."""

    number: int
    stream: str
    run: str
    page: int
    position: int
    reason: str
    record: str
    at: int


def begin_run(connection: Connection, run: str, sync: str) -> None:
    """Note that a run begins, or goes on. It has the lock, so others of the sync that have not ended are lost."""
    lost = (runs.c.sync == sync) & (runs.c.id != run) & runs.c.ended_at.is_(None)
    why = f"its worker was lost, or this database refused it, and job {run} has begun another run"
    connection.execute(update(runs).where(lost).values(state="failed", error=why, ended_at=now_ms()))
    ended = {"state": "running", "ended_at": None, "error": None}
    if connection.execute(update(runs).where(runs.c.id == run).values(**ended)).rowcount == 0:
        connection.execute(insert(runs).values(id=run, sync=sync, state="running", started_at=now_ms()))


def forget_old(connection: Connection, keep_ms: int) -> None:
    """Forget runs that have ended before `keep_ms`, and records that were rejected before."""
    connection.execute(delete(runs).where(runs.c.ended_at < now_ms() - keep_ms))
    connection.execute(delete(rejects).where(rejects.c.at < now_ms() - keep_ms))


def end_lost_run(connection: Connection, run: str, why: str) -> None:
    """Note that a run of ours will not go on, if it has begun and has not ended."""
    open_run = (runs.c.id == run) & runs.c.ended_at.is_(None)
    connection.execute(update(runs).where(open_run).values(state="failed", error=why, ended_at=now_ms()))


def note_run(
    connection: Connection, run: str, state: str, counts: dict[str, Counts] | None = None, error: str | None = None
) -> None:
    """Note how a run stands or ends; without `counts`, those that were noted before stay."""
    values: dict[str, Any] = {
        "state": state,
        "error": error,
        "ended_at": None if state in ("running", "waiting") else now_ms(),
    }
    if counts is not None:
        values["counts"] = {stream: each.as_dict() for stream, each in counts.items()}
    connection.execute(update(runs).where(runs.c.id == run).values(**values))


def list_runs(connection: Connection, sync: str, limit: int, after: tuple[int, str] | None = None) -> list[Run]:
    """Return runs of a sync, the newest first; those behind the one that has begun at a time, and has an id."""
    query = select(runs).where(runs.c.sync == sync).order_by(runs.c.started_at.desc(), runs.c.id).limit(limit)
    if after is not None:
        began, run = after
        query = query.where(or_(runs.c.started_at < began, and_(runs.c.started_at == began, runs.c.id > run)))
    return [_so_far(connection, _run(row)) for row in connection.execute(query).mappings()]


def find_run(connection: Connection, run: str) -> Run | None:
    """Return the run of an id."""
    row = connection.execute(select(runs).where(runs.c.id == run)).mappings().first()
    return None if row is None else _so_far(connection, _run(row))


def _so_far(connection: Connection, run: Run) -> Run:
    """Return a run that has not ended with what its streams have counted until now, which their states have."""
    if run.ended_at is not None:
        return run
    states = all_of(connection, run.sync)
    own = {name: one.counts for name, one in states.items() if one.phase != IDLE or one.done_run == run.id}
    return replace(run, counts={**run.counts, **own})


def _run(row: Any) -> Run:
    values = dict[str, Any](row)
    counts: dict[str, Any] = values.pop("counts") or {}
    return Run(**values, counts={name: Counts.of(each) for name, each in counts.items()})


def store_rejects(
    connection: Connection,
    sync: str,
    stream: str,
    run: str,
    page: int,
    refused: Sequence[Refusal],
    hide: Callable[[str], str] = str,
) -> None:
    """Keep rejected records, with what `hide` makes of their texts."""
    if not refused:
        return
    rows = [
        {
            "sync": sync,
            "stream": stream,
            "run": run,
            "page": page,
            "position": one.position,
            "reason": _storable(hide(one.reason), _LONGEST_REASON),
            "record": _storable(hide(text_of(one.record)), _LONGEST_RECORD),
        }
        for one in refused
    ]
    connection.execute(insert(rejects).values(at=now_ms()), rows)


def list_rejects(
    connection: Connection,
    sync: str,
    *,
    stream: str | None = None,
    run: str | None = None,
    after: int | None = None,
    limit: int,
) -> list[Reject]:
    """Return rejected records of a sync, the newest first; those before the number `after`."""
    names = [column for column in rejects.c if column.name != "sync"]
    query = select(*names).where(rejects.c.sync == sync).order_by(rejects.c.number.desc()).limit(limit)
    if stream is not None:
        query = query.where(rejects.c.stream == stream)
    if run is not None:
        query = query.where(rejects.c.run == run)
    if after is not None:
        query = query.where(rejects.c.number < after)
    return [Reject(**row) for row in connection.execute(query).mappings()]


def forget_rejects(connection: Connection, sync: str, streams: Sequence[str]) -> None:
    """Forget the rejected records of streams."""
    connection.execute(delete(rejects).where(rejects.c.sync == sync, rejects.c.stream.in_(streams)))


def text_of(record: Any) -> str:
    """Write a rejected record, whatever it is."""
    try:
        return to_json(record)
    except ValueError:
        pass
    try:
        return repr(record)
    except RecursionError:
        return "(a record that is nested too deep to be shown)"


def _storable(text: str, most: int) -> str:
    """Cut a text, and replace what some databases refuse."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return cut.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
