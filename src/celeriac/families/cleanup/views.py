"""What the API and the commands show: policies, runs, and the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, inspect, select

from celeriac.families.cleanup import records
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.tables import chunk_table, lock_table, run_table


class Run(BaseModel):
    """A run. Times are milliseconds since the epoch."""

    id: str
    policy: str
    kind: str
    """`clean`, or `restore`."""
    who: str
    state: str
    rows: dict[str, int]
    error: str | None
    cutoff: int
    milliseconds: int
    """From its beginning to its end, or until now, with all that it has waited."""
    started_at: int
    ended_at: int | None


class PolicyState(BaseModel):
    """A policy, and who works on it."""

    name: str
    connection: str
    table: str
    action: str
    paused: bool
    holder: str | None
    """The job that works on it, or did when it was lost."""
    position: str | None
    """The key of the last row that was looked at, in JSON. The next run goes on there."""
    last_run: Run | None


class AuditEntry(BaseModel):
    """One chunk: rows that were changed together."""

    run: str
    number: int
    table: str
    action: str
    rows: int
    first_key: str
    last_key: str
    sql_sha256: str
    file: str | None
    file_offset: int | None
    file_length: int | None
    file_sha256: str | None
    at: int


def state_of(connection: Connection, policy: Policy) -> PolicyState:
    """Return a policy with its state."""
    shown = {"name": policy.name, "connection": policy.connection, "table": policy.table, "action": policy.action}
    if not has_tables(connection):
        return PolicyState(**shown, paused=False, holder=None, position=None, last_run=None)
    lock = connection.execute(select(lock_table).where(lock_table.c.policy == policy.name)).one_or_none()
    of_policy = select(run_table).where(run_table.c.policy == policy.name, run_table.c.kind == records.Kind.CLEAN)
    last = connection.execute(of_policy.order_by(run_table.c.started_at.desc(), run_table.c.id).limit(1)).one_or_none()
    return PolicyState(
        **shown,
        paused=bool(lock is not None and lock.paused),
        holder=None if lock is None else lock.holder,
        position=None if lock is None else lock.position,
        last_run=None if last is None else run_of(connection, last),
    )


def run(connection: Connection, run_id: str) -> Run | None:
    """Return a run; None if there is none with that id."""
    if not has_tables(connection):
        return None
    row = connection.execute(select(run_table).where(run_table.c.id == run_id)).one_or_none()
    return None if row is None else run_of(connection, row)


def run_of(connection: Connection, row: Any) -> Run:
    """Return a run from its row."""
    fields = {name: getattr(row, name) for name in Run.model_fields if name not in ("rows", "milliseconds")}
    taken = records.milliseconds(connection, row.id)
    return Run(**fields, milliseconds=taken, rows=records.counts(connection, row.id))


def entry_of(row: Mapping[Any, Any]) -> AuditEntry:
    """Return a chunk from its row."""
    return AuditEntry.model_validate({**row, "run": row["run_id"], "table": row["step"], "rows": row["row_count"]})


def has_tables(connection: Connection) -> bool:
    """Return whether a run has created our tables. Before that, there is nothing to show."""
    return inspect(connection).has_table(chunk_table.name)
