"""Forgets old runs, and old entries of the audit: a little after each run, in short transactions, in nobody's way."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, select

from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.cleanup.records import UNDER_WAY
from celeriac.families.cleanup.tables import chunk_table, run_table

log = logging.getLogger("celeriac")

_r, _c = run_table.c, chunk_table.c

#: What is forgotten after one run at the most. The next one goes on with the rest.
_MOST_TRANSACTIONS = 50
_ROWS = 1000
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """Seconds for which runs that have changed nothing are kept, and those that have, with their audit."""

    runs_s: float = 90 * _DAY_S
    audit_s: float = 3650 * _DAY_S


async def prune(database: Database, keeping: Keeping) -> None:
    """Forget what is old, of all policies of a database. If that fails, it is logged, and the next run tries again."""
    try:
        for _ in range(_MOST_TRANSACTIONS):
            if not await database.write(lambda connection: _prune_some(connection, keeping)):
                return
    except Exception as error:
        log.warning("old runs of cleanups are not forgotten: %s", error)


def _prune_some(connection: Connection, keeping: Keeping) -> bool:
    """Forget some of it. Return whether there may be more."""
    empty = list(connection.execute(_old(keeping.runs_s, ~_has_audit()).limit(_ROWS)).scalars())
    if empty:
        connection.execute(delete(run_table).where(_r.id.in_(empty)))
        return True
    run = connection.execute(_old(keeping.audit_s, _has_audit()).limit(1)).scalar()
    if run is None:
        return False
    first = connection.execute(select(func.min(_c.number)).where(_c.run_id == run)).scalar_one()
    connection.execute(delete(chunk_table).where(_c.run_id == run, _c.number < first + _ROWS))
    return True


def _old(seconds: float, condition: ColumnElement[bool]) -> Select[tuple[str]]:
    """Choose runs that are older, but for the last one of each policy: a resume asks how that ended."""
    newer = run_table.alias("newer").c
    is_not_last = exists().where(newer.policy == _r.policy, newer.kind == _r.kind, newer.started_at > _r.started_at)
    is_old = _r.started_at < now_ms() - round(1000 * seconds)
    return select(_r.id).where(is_old, is_not_last, _r.state.not_in(UNDER_WAY), condition)


def _has_audit() -> ColumnElement[bool]:
    return exists().where(_c.run_id == _r.id)
