"""A dry run: what a policy would do, asked of the database without changing anything."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, select

from celeriac.core.printable import shortened
from celeriac.database.clock import now_ms
from celeriac.families.cleanup.changes import Renewal, read_secrets
from celeriac.families.cleanup.chunks import fetch
from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.hidden import may_be_hidden
from celeriac.families.cleanup.hints import heirs_left
from celeriac.families.cleanup.in_the_way import rows_in_the_way
from celeriac.families.cleanup.indexes import slow_references
from celeriac.families.cleanup.partitions import Partition
from celeriac.families.cleanup.partitions_chosen import partitions_of
from celeriac.families.cleanup.places import Place
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.policy import ArchiveTo, Policy
from celeriac.families.cleanup.records import last_rate
from celeriac.families.cleanup.shapes import ROWID
from celeriac.families.cleanup.statements import Parameters, Row, Statements
from celeriac.families.cleanup.throttles import OpenDatabase, Throttling
from celeriac.families.cleanup.work import Plan, require_keys

_SAMPLE = 5
_SHOWN = 200
#: What a chunk costs beside its reading, at the least: the same rows are archived, read again and deleted.
_TIMES_READING = 4.0
_MEASURED = 1000


class PartitionPreview(BaseModel):
    """What would be done with one partition."""

    table: str
    rows: int


class StepPreview(BaseModel):
    """What would be done with one table."""

    table: str
    path: str
    rows: int
    sql: list[str]
    notes: list[str] = []
    partitions: list[PartitionPreview] | None = None
    """The partitions that a run goes through, or lets go; null: the policy does not tell them apart."""


class Preview(BaseModel):
    """What a run would do now."""

    policy: str
    action: str
    archive: str | None
    rows: int
    """Rows of the policy's own table."""
    steps: list[StepPreview]
    """The tables in the order in which their rows go."""
    columns: list[str]
    warnings: list[str]
    """What makes a run slow, or leaves rows where they are."""
    sample: list[list[Any]]
    """The first rows, as texts of up to 200 characters."""
    becomes: dict[str, list[Any]]
    """For columns that get new values: what those of the first rows become."""
    estimated_seconds: float | None
    estimated_from: str
    cutoff: int | None


async def preview(place: Place, policy: Policy, open_database: OpenDatabase | None = None) -> Preview:
    """Look at what a policy would do. No table is created for it, and nothing is locked.

    Raises:
        CleanupRefused: a run would be refused for the same reason.
    """
    found = await place.database.look(lambda connection: _preview(connection, place, policy))
    throttling = Throttling(policy.throttles, place.database, open_database or (lambda name: place.database))
    return found.model_copy(update={"warnings": [*found.warnings, *await throttling.reasons()]})


def _preview(connection: Connection, place: Place, policy: Policy) -> Preview:
    planned = place.plan(connection, policy)
    now = int(connection.execute(select(now_ms())).scalar_one())
    condition = planned.condition(now)
    require_keys(connection, planned, now)
    root = planned.of_root()
    steps = [_step(connection, planned, step, condition) for step in planned.root.walk()]
    partitions = partitions_of(connection, planned, now)
    if partitions is not None:
        steps[-1] = _divided(connection, planned, steps[-1], condition, partitions)
    rows, shown = steps[-1].rows, root
    if policy.partitions == "detach":
        shown = planned.within(partitions[0].table).of_root() if partitions else None
    began = time.monotonic()
    measured = fetch(connection, root.read_first, condition | {"celeriac_limit": _MEASURED})
    seconds = time.monotonic() - began
    estimated, source = _estimate(connection, policy, sum(step.rows for step in steps), len(measured), seconds)
    age = policy.where.age
    becomes, secretless = _new_values(policy, root, measured[:_SAMPLE])
    return Preview(
        policy=policy.name,
        action=policy.action,
        archive=_archive(policy),
        rows=rows,
        steps=steps,
        columns=list(root.step.shape.names),
        warnings=[
            *rows_in_the_way(connection, planned, condition),
            *slow_references(connection, planned),
            *(may_be_hidden(connection, planned.root) if policy.removes else ()),
            *_left_alone(planned),
            *secretless,
        ],
        sample=[] if shown is None else _sample(connection, shown, condition),
        becomes=becomes,
        estimated_seconds=estimated,
        estimated_from=source,
        cutoff=None if age is None else now - round(1000 * age.older_than.total_seconds()),
    )


def _step(connection: Connection, planned: Plan, step: Step, condition: Mapping[str, Any]) -> StepPreview:
    statements = planned.statements[step.path]
    is_root = step.link is None
    count = statements.count if is_root else statements.count_below(planned.parents(step))
    notes = [f"rows that others of {step.shape.shown} refer to wait for these"] if step.own else []
    notes += [
        f"{one.table}.{', '.join(one.columns)} is emptied by the database (ON DELETE {one.on_delete})"
        for one in step.shape.references
        if one.empties and planned.policy.removes
    ]
    rows = int(connection.execute(count, dict(condition)).scalar_one())
    return StepPreview(
        table=step.shape.shown, path=step.path, rows=rows, sql=[_written(one) for one in statements.main], notes=notes
    )


def _left_alone(planned: Plan) -> Iterator[str]:
    """Say which rows somebody might expect to go, and stay."""
    is_mysql = planned.of_root().dialect in ("mysql", "mariadb")
    for step in planned.root.walk():
        yield from heirs_left(step)
        if step.own and is_mysql:
            yield f"rows of {step.shape.shown} that refer to themselves stay, as MySQL deletes none"
        if step.shape.key == (ROWID,) and planned.to_files:
            yield f"{step.shape.shown} has no primary key: its archive can be restored with `on_conflict: fail` only"


def _divided(
    connection: Connection, planned: Plan, step: StepPreview, condition: Parameters, partitions: Sequence[Partition]
) -> StepPreview:
    """Return what would be done with the policy's table, a partition at a time."""
    found: list[PartitionPreview] = []
    for one in partitions:
        rows = int(connection.execute(planned.within(one.table).of_root().count, condition).scalar_one())
        found.append(PartitionPreview(table=str(one.table), rows=rows))
    sql = step.sql
    if planned.policy.partitions == "detach":
        sql = [f"ALTER TABLE {planned.of_root().table} DETACH PARTITION … CONCURRENTLY", "DROP TABLE …"]
    elif partitions:
        sql = [_written(one) for one in planned.within(partitions[0].table).of_root().main]
    rows = sum(one.rows for one in found)
    return step.model_copy(update={"rows": rows, "sql": sql, "partitions": found})


def _written(statement: object) -> str:
    """Return a statement for people: the lists of values in it as parameters like others."""
    first, *more = str(statement).split("__[POSTCOMPILE_")
    return first + "".join(f":{part.replace(']', '', 1)}" for part in more)


def _estimate(
    connection: Connection, policy: Policy, rows: int, measured: int, seconds: float
) -> tuple[float | None, str]:
    rate = last_rate(connection, policy.name)
    if rate:
        return round(rows / rate, 1), "the rate of the last run"
    if not measured:
        return 0.0 if not rows else None, "nothing to do" if not rows else "nothing"
    return round(rows * seconds / measured * _TIMES_READING, 1), f"the time to read {measured:,} rows; a guess"


def _archive(policy: Policy) -> str | None:
    if policy.action != "archive":
        return None
    return f"table {policy.archive.table}" if isinstance(policy.archive, ArchiveTo) else policy.archive


def _sample(connection: Connection, statements: Statements, condition: Parameters) -> list[list[Any]]:
    rows = fetch(connection, statements.sample, condition | {"celeriac_limit": _SAMPLE})
    return [[_shown(value) for value in row] for row in rows]


def _new_values(policy: Policy, statements: Statements, rows: Sequence[Row]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return what columns of these rows become. A secret may be on the workers only, which is no fault."""
    if not policy.columns:
        return {}, []
    try:
        renewal = Renewal(policy, statements, read_secrets(policy))
    except PolicyInvalid as error:
        return {}, [f"{error}, here: what values become is not shown, and a run needs it on its worker"]
    new = [[_shown(value) for value in values] for _, _, values in renewal.compared(rows)]
    return {name: [values[at] for values in new] for at, name in enumerate(policy.columns)}, []


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, int | bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return shortened(value.hex() if isinstance(value, bytes) else str(value), _SHOWN)
