"""Runs and the audit, in the tables of the database that is cleaned. All functions take a transaction's connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, inspect, select, update

from celeriac.core import codec
from celeriac.database.clock import now_ms
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.tables import chunk_table, run_table

_r, _c = run_table.c, chunk_table.c


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    WAITING = "waiting"
    """Its job is run again later: it is throttled, outside its window, or the database was away."""
    DONE = "done"
    """It has looked at every row."""
    BUDGET = "budget"
    """It has used up its budget. The next run goes on."""
    PAUSED = "paused"
    """Somebody has paused the policy. A run after that goes on."""
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Of runs that have not ended.
UNDER_WAY = (RunState.RUNNING, RunState.WAITING)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is under way. `done_ms` is how long it took before this process went on with it."""

    id: str
    cutoff_ms: int
    next_number: int
    rows: int
    done_ms: int
    is_resumed: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk for the audit."""

    number: int
    step: str
    action: str
    rows: int
    first_key: str
    last_key: str
    sql_sha256: str
    member: Member | None = None


#: Of a run that has neither ended nor kept its lock, when another one begins.
LOST = "its job was lost, or has given up; another run has taken over"


class Kind(StrEnum):
    """What a run does."""

    CLEAN = "clean"
    RESTORE = "restore"


def open_run(connection: Connection, run_id: str, policy: str, who: str, digest: str, sql: str) -> OpenRun:
    """Record a run that begins, or that goes on after its worker was lost or its job was tried again."""
    row = connection.execute(select(run_table).where(_r.id == run_id)).one_or_none()
    if row is None:
        now = connection.execute(select(now_ms())).scalar_one()
        lost = update(run_table).where(_r.policy == policy, _r.kind == Kind.CLEAN, _r.state.in_(UNDER_WAY))
        connection.execute(lost.values(state=RunState.FAILED, error=LOST, ended_at=now))
        fresh = _Fresh(run_id, policy, Kind.CLEAN, who, RunState.RUNNING, digest, sql)
        connection.execute(insert(run_table).values(fresh.values(int(now))))
        return OpenRun(run_id, int(now), 1, 0, 0, is_resumed=False)
    again = {"state": RunState.RUNNING, "digest": digest, "sql": sql, "error": None, "ended_at": None}
    connection.execute(update(run_table).where(_r.id == run_id).values(again))
    query = select(func.coalesce(func.max(_c.number), 0), func.coalesce(func.sum(_c.row_count), 0)).where(
        _c.run_id == run_id
    )
    number, rows = connection.execute(query).one()
    return OpenRun(run_id, int(row.cutoff), int(number) + 1, int(rows), int(row.milliseconds), is_resumed=True)


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A run that begins."""

    id: str
    policy: str
    kind: Kind
    who: str
    state: RunState
    digest: str
    sql: str

    def values(self, now: int) -> dict[str, Any]:
        """Return its row."""
        return {**asdict(self), "cutoff": now, "started_at": now, "milliseconds": 0}


@dataclass(frozen=True, slots=True)
class Putting:
    """Rows that one transaction of a restore has put back: where they were in a file, or the last key from a table."""

    rows: int
    file: str | None
    offset: int | None
    last_key: str


def open_restore(connection: Connection, run_id: str, policy: str, who: str, asked: str) -> None:
    """Record a restore that begins, or that its job begins again. `asked` is what is to be restored, as JSON."""
    again = update(run_table).where(_r.id == run_id).values(state=RunState.RUNNING, error=None, ended_at=None)
    if connection.execute(again).rowcount != 1:
        now = connection.execute(select(now_ms())).scalar_one()
        fresh = _Fresh(run_id, policy, Kind.RESTORE, who, RunState.RUNNING, "", asked)
        connection.execute(insert(run_table).values(fresh.values(int(now))))


def write_restored(
    connection: Connection, run_id: str, table: str, rows: int, member: Member | None, last_key: str
) -> None:
    """Add rows that were put back to the audit, in the transaction that writes them.

    `member` is where they were in a file, and `last_key` which came last from a table.
    """
    if rows:
        entry = Entry(next_number(connection, run_id), table[:512], Kind.RESTORE, rows, "[]", last_key, "", member)
        write_entry(connection, run_id, entry)


def restored_by(connection: Connection, run_id: str) -> Sequence[Putting]:
    """Return what a restore has put back so far, in order."""
    query = select(_c.row_count, _c.file, _c.file_offset, _c.last_key).where(_c.run_id == run_id)
    return [Putting(*row) for row in connection.execute(query.order_by(_c.number))]


def end_restore(connection: Connection, run_id: str, state: RunState, error: str | None = None) -> None:
    """Record how a restore has ended."""
    values = {"state": state, "error": error, "ended_at": now_ms(), "milliseconds": now_ms() - _r.started_at}
    connection.execute(update(run_table).where(_r.id == run_id).values(values))


def record_paused(connection: Connection, run_id: str, policy: str, who: str, digest: str) -> None:
    """Record that a run was paused before it began, so that a resume goes on with it. One such run is enough."""
    last = select(_r.state).where(_r.policy == policy, _r.kind == Kind.CLEAN).order_by(_r.started_at.desc()).limit(1)
    if connection.execute(last).scalar() != RunState.PAUSED:
        now = connection.execute(select(now_ms())).scalar_one()
        fresh = _Fresh(run_id, policy, Kind.CLEAN, who, RunState.PAUSED, digest, "{}")
        connection.execute(insert(run_table).values({**fresh.values(int(now)), "ended_at": now}))


def next_number(connection: Connection, run_id: str) -> int:
    """Return the number of a run's next entry of the audit."""
    last = select(func.coalesce(func.max(_c.number), 0)).where(_c.run_id == run_id)
    return int(connection.execute(last).scalar_one()) + 1


def end_run(connection: Connection, run: OpenRun, state: RunState, began: float, error: str | None = None) -> None:
    """Record how a run has ended. `began` is when this process began, by `time.monotonic`."""
    values: dict[str, Any] = {"state": state, "error": error, "ended_at": now_ms()}
    values["milliseconds"] = run.done_ms + round(1000 * (time.monotonic() - began))
    connection.execute(update(run_table).where(_r.id == run.id).values(values))


def end_lost_run(connection: Connection, run_id: str, state: RunState, error: str | None = None) -> None:
    """Record the end of a run that no worker is at."""
    still = update(run_table).where(_r.id == run_id, _r.state.in_(UNDER_WAY))
    connection.execute(still.values(state=state, error=error, ended_at=now_ms()))


def note_waiting(connection: Connection, run: OpenRun, why: str, began: float) -> None:
    """Record why a run waits, unless somebody has ended it. `began` is when this process began."""
    taken = run.done_ms + round(1000 * (time.monotonic() - began))
    still = update(run_table).where(_r.id == run.id, _r.state.in_(UNDER_WAY))
    connection.execute(still.values(state=RunState.WAITING, error=why, milliseconds=taken))


def write_entry(connection: Connection, run_id: str, entry: Entry) -> None:
    """Add a chunk to the audit."""
    member = entry.member
    connection.execute(
        insert(chunk_table).values(at=now_ms()),
        {
            "run_id": run_id,
            "number": entry.number,
            "step": entry.step,
            "action": entry.action,
            "row_count": entry.rows,
            "first_key": entry.first_key,
            "last_key": entry.last_key,
            "sql_sha256": entry.sql_sha256,
            "file": member and member.file,
            "file_offset": member and member.offset,
            "file_length": member and member.length,
            "file_sha256": member and member.sha256,
        },
    )


def members(connection: Connection, run_id: str, step: str) -> Sequence[Member]:
    """Return what a run has archived of a table, in order."""
    query = select(_c.file, _c.file_offset, _c.file_length, _c.row_count, _c.file_sha256)
    archived = (_c.run_id == run_id, _c.step == step, _c.action == "archive", _c.file.is_not(None))
    query = query.where(*archived).order_by(_c.number)
    return [Member(*row) for row in connection.execute(query)]


def ends(connection: Connection, run_id: str) -> dict[str, int]:
    """Return where what a run has committed ends, by the names of its files."""
    query = select(_c.file, func.max(_c.file_offset + _c.file_length))
    found = connection.execute(query.where(_c.run_id == run_id, _c.file.is_not(None)).group_by(_c.file))
    return {str(file): int(end) for file, end in found}


def stopped(connection: Connection, policy: str, most: int) -> list[str]:
    """Return the runs of a policy that did not come to an end of their own, the newest first."""
    early = (RunState.PAUSED, RunState.CANCELLED, RunState.FAILED)
    query = select(_r.id).where(_r.policy == policy, _r.kind == Kind.CLEAN, _r.state.in_(early))
    return list(connection.execute(query.order_by(_r.started_at.desc()).limit(most)).scalars())


def archived_steps(connection: Connection, run_id: str) -> list[str]:
    """Return the tables of a run that have rows in files, as the audit names them, in the order in which they came."""
    query = select(_c.step).where(_c.run_id == run_id, _c.action == "archive", _c.file.is_not(None))
    return [str(step) for step in connection.execute(query.group_by(_c.step).order_by(func.min(_c.number))).scalars()]


def planned_steps(connection: Connection, run_id: str) -> set[str]:
    """Return the tables that a run had statements for. Partitions that go as a whole are not among them."""
    written = connection.execute(select(_r.sql).where(_r.id == run_id, _r.kind == Kind.CLEAN)).scalar()
    return set(codec.loads(written)) if written else set()


def counts(connection: Connection, run_id: str) -> dict[str, int]:
    """Return how many rows of each table a run has changed."""
    query = select(_c.step, func.sum(_c.row_count)).where(_c.run_id == run_id).group_by(_c.step)
    return {str(step): int(rows) for step, rows in connection.execute(query)}


def milliseconds(connection: Connection, run_id: str) -> int:
    """Return the time from a run's beginning to its end, or until now."""
    query = select(func.coalesce(_r.ended_at, now_ms()) - _r.started_at).where(_r.id == run_id)
    return int(connection.execute(query).scalar_one())


def last_rate(connection: Connection, policy: str) -> float | None:
    """Return the rows per second of the last run of a policy that has changed some; None if there was none."""
    if not inspect(connection).has_table(run_table.name):
        return None
    query = select(_r.milliseconds, func.sum(_c.row_count)).join(chunk_table, _c.run_id == _r.id)
    query = query.where(_r.policy == policy, _r.kind == Kind.CLEAN, _r.milliseconds > 0, _r.ended_at.is_not(None))
    row = connection.execute(
        query.group_by(_r.id, _r.milliseconds, _r.started_at).order_by(_r.started_at.desc())
    ).first()
    return None if row is None else 1000 * float(row[1]) / float(row[0])
