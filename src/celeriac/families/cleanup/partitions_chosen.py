"""Which partitions a run goes through, or lets go."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.partitions import Partition, Partitions, find_partitions
from celeriac.families.cleanup.work import Plan


def old_partitions(connection: Connection, plan: Plan, cutoff_ms: int) -> Sequence[Partition]:
    """Return the partitions of the policy's table that are wholly old, the oldest first.

    Raises:
        TableRefused: it has none that go by its age.
    """
    return _found(connection, plan).wholly_older(connection, plan.condition(cutoff_ms)["celeriac_cutoff"])


def walked_partitions(connection: Connection, plan: Plan, cutoff_ms: int) -> Sequence[Partition]:
    """Return the partitions of the policy's table that may have rows on which there is work, in their order.

    Raises:
        TableRefused: it has none.
    """
    found = _found(connection, plan)
    if not found.found and found.type is None:
        raise TableRefused(f"{found.table} has no partitions: leave `partitions` out")
    if plan.policy.where.age is None or found.type is None:
        return found.leaves
    return found.partly_older(connection, plan.condition(cutoff_ms)["celeriac_cutoff"])


def partitions_of(connection: Connection, plan: Plan, cutoff_ms: int) -> Sequence[Partition] | None:
    """Return the partitions in which a run has work, each for all that are part of it.

    None: it does not tell them apart.

    Raises:
        TableRefused: the policy's table has none.
    """
    if plan.policy.partitions == "chunk":
        return walked_partitions(connection, plan, cutoff_ms)
    if plan.policy.partitions is None:
        return None
    old = old_partitions(connection, plan, cutoff_ms)
    whole = {one.table for one in old}
    return [one for one in old if one.parent not in whole]


def count_rows(connection: Connection, plan: Plan, cutoff_ms: int) -> int:
    """Count the rows of the policy's own table that a run has before it."""
    partitions, condition = partitions_of(connection, plan, cutoff_ms), plan.condition(cutoff_ms)
    statements = (
        [plan.of_root()]
        if plan.policy.partitions != "detach"
        else [plan.within(one.table).of_root() for one in partitions or ()]
    )
    return sum(int(connection.execute(one.count, condition).scalar_one()) for one in statements)


def _found(connection: Connection, plan: Plan) -> Partitions:
    age, shape = plan.policy.where.age, plan.root.shape
    return find_partitions(connection, TableName(shape.schema, shape.name), age and age.column)
