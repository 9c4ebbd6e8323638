"""Moves rows into the table that is their archive, where some of them may be already: a restore leaves them there."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection

from celeriac.families.cleanup.archives_columns import use_exact_texts
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import ArchiveRefused
from celeriac.families.cleanup.statements import Parameters, Statements


def copy_rows(
    connection: Connection, statements: Statements, target: TableName, parameters: Parameters, count: int
) -> None:
    """Copy `count` rows by their keys. What is there as it is counts as copied.

    Raises:
        ArchiveRefused: other rows with these keys are there. Both versions stay.
    """
    copied = connection.execute(statements.move_to(connection, target), parameters).rowcount
    if copied == count:
        return
    if connection.dialect.name == "postgresql":
        use_exact_texts(connection)
    own, there = (
        Counter(map(tuple, connection.execute(statements.read_whole(table), parameters)))
        for table in (statements.table, target.quoted(connection))
    )
    if others := (own - there).total():
        key, table = ", ".join(statements.step.shape.key), statements.step.shape.shown
        find = f"SELECT {key} FROM {table} JOIN {target} USING ({key})"  # noqa: S608 (it is shown only)
        raise ArchiveRefused(
            f"the archive {target} has other versions of {others:,} rows of {table}, which stay in both: take those "
            f"out of {target}, or name another table in `archive`. This finds them: {find}"
        )
