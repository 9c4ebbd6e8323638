"""Finds references without an index: for each row that goes, the database reads the whole table that refers to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Inspector, inspect

from celeriac.families.cleanup.archives_table import TableName, quoted
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.work import Plan

_Place = tuple[TableName, tuple[str, ...]]


def slow_references(connection: Connection, plan: Plan) -> list[str]:
    """Return a warning for each reference to rows that go which has no index. It has the statement to run."""
    if not plan.policy.removes:
        return []
    inspector = inspect(connection)
    found: dict[_Place, str] = {}
    for step in plan.root.walk():
        for table, columns in _referring(step):
            if not _has_index(inspector, table, columns):
                found[table, columns] = _warning(connection, step, table, columns)
    return list(found.values())


def _referring(step: Step) -> Iterator[_Place]:
    """Give the columns in which rows that refer to those of a step are looked for, by us or by the database."""
    for one in step.shape.references:
        yield TableName(one.schema, one.table), one.columns
    for child in step.children:
        if child.link is not None:
            yield TableName(child.shape.schema, child.shape.name), child.link.columns


def _has_index(inspector: Inspector, table: TableName, columns: Sequence[str]) -> bool:
    key = inspector.get_pk_constraint(table.name, schema=table.schema)["constrained_columns"]
    unique = inspector.get_unique_constraints(table.name, schema=table.schema)
    indexes = inspector.get_indexes(table.name, schema=table.schema)
    whole = [
        one["column_names"] for one in indexes if not any("where" in name for name in one.get("dialect_options", {}))
    ]
    leading = [key, *(one["column_names"] for one in unique), *whole]
    return any(set(one[: len(columns)]) == set(columns) for one in leading)


def _warning(connection: Connection, step: Step, table: TableName, columns: Sequence[str]) -> str:
    names = ", ".join(quoted(connection, name) for name in columns)
    name = quoted(connection, "_".join((table.name, *columns))[:60])
    how = "CREATE INDEX CONCURRENTLY" if connection.dialect.name == "postgresql" else "CREATE INDEX"
    statement = f"{how} {name} ON {table.quoted(connection)} ({names})".replace("\\:", ":")
    return (
        f"{table} has no index on {', '.join(columns)}: for each row of {step.shape.shown} that goes, the database "
        f"reads all of it. Create one first: {statement}"
    )
