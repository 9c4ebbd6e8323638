"""What a database should do after many rows have gone, or have changed. Nobody but its owner knows when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.engine import Database
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.work import Plan

#: Rows of a table from which on its statistics are worth renewing.
MANY = 10_000
_STATEMENTS: Mapping[str, str] = {"postgresql": "VACUUM (ANALYZE) {table}", "sqlite": "ANALYZE {table}"}
_OF_MYSQL = "ANALYZE TABLE {table}"
_WHY = "{rows:,} rows of {table} have changed: {statement} renews the statistics by which queries are planned"
_SPACE: Mapping[str, str] = {"sqlite": "; VACUUM makes the file smaller", "postgresql": " and makes room for new rows"}


async def after(database: Database, plan: Plan, rows: Mapping[str, int]) -> list[str]:
    """Renew the statistics of tables that have changed much, if the policy wants it. Else say how.

    It is no part of the run: if it fails, it is said, and the rows are gone nevertheless.
    """
    hints: list[str] = []
    for step in plan.root.walk():
        hints += heirs_left(step)
        if rows.get(step.path, 0) >= MANY:
            statement = _statement(plan, step, database.dialect)
            why = _WHY.format(rows=rows[step.path], table=step.shape.shown, statement=statement)
            if not plan.policy.analyze:
                hints.append(why + _SPACE.get(database.dialect, ""))
            else:
                hints.append(await _done(database, statement))
    return hints


def heirs_left(step: Step) -> list[str]:
    """Say that rows of tables that inherit from a step's table stay."""
    heirs, table = ", ".join(step.shape.heirs), step.shape.shown
    return [f"rows of {heirs} stay, which inherit from {table}: each such table needs a policy"] if heirs else []


async def _done(database: Database, statement: str) -> str:
    def run(connection: Any) -> None:
        connection.execute(text(statement))

    try:
        await database.outside(run)
    except (DBAPIError, DatabaseUnavailable) as error:
        return f"{statement} has failed: {getattr(error, 'orig', error)}"
    return f"{statement} is done"


def _statement(plan: Plan, step: Step, dialect: str) -> str:
    return _STATEMENTS.get(dialect, _OF_MYSQL).format(table=plan.statements[step.path].table)
