"""Copies rows back from the table that is their archive. They stay there as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from celeriac.families.cleanup.archives_columns import is_read_as_text, reading, use_exact_texts
from celeriac.families.cleanup.archives_table import TableName, columns_of_table, quoted
from celeriac.families.cleanup.errors import ArchiveRefused
from celeriac.families.cleanup.restore_rows import (
    ROWID,
    OnConflict,
    escaped,
    generated_columns,
    key_of,
    refused_rows,
)

_CHUNK = 5000
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class CopiedChunk:
    """A chunk that was looked at: its rows, those of them that were copied, and the key of the last."""

    rows: int
    copied: int
    last: Key


@dataclass(frozen=True, slots=True)
class Copying:
    """How rows go from one table to another."""

    source: TableName
    table: TableName
    names: Sequence[str]
    key: Sequence[str]
    key_types: Sequence[str]
    rows: int
    on_conflict: OnConflict

    @classmethod
    def plan(cls, connection: Connection, source: TableName, table: TableName, on_conflict: OnConflict) -> Copying:
        """Look at both tables.

        Raises:
            ArchiveRefused: rows of one do not fit the other, or it has no key by which they could be told apart.
        """
        archived, wanted = columns_of_table(connection, source), columns_of_table(connection, table)
        if missing := [name for name in archived if name not in wanted]:
            raise ArchiveRefused(f"the table {table} lacks the columns {', '.join(missing)} of {source}: add them")
        key = key_of(connection, table, list(archived))
        if not key and (on_conflict == "skip" or connection.dialect.name != "sqlite"):
            raise ArchiveRefused(f"the table {table} has no primary key among the columns of {source}")
        key = key or [ROWID]
        computed = generated_columns(connection, table)
        count = connection.execute(text(f"SELECT count(*) FROM {source.quoted(connection)}")).scalar_one()  # noqa: S608
        names = [name for name in archived if name not in computed]
        return cls(source, table, names, key, [archived.get(name, "") for name in key], int(count), on_conflict)

    def next(self, connection: Connection, after: Key | None) -> CopiedChunk | None:
        """Copy the rows after that key, and return what was done; None at the end.

        Raises:
            ArchiveRefused: the database does not take them.
        """
        use_exact_texts(connection)
        found = self._keys(connection, after)
        if not found:
            return None
        what = f"rows of {self.source} cannot be restored into {self.table}"
        copied = refused_rows(what, lambda: self._copy(connection, after, found[-1]))
        return CopiedChunk(len(found), copied, found[-1])

    def count_up_to(self, connection: Connection, last: Key) -> int:
        """Count the rows of the archive up to a key."""
        where = self._beyond(connection, "<=", "last")
        sql = f"SELECT count(*) FROM {self.source.quoted(connection)} WHERE {where}"  # noqa: S608 (quoted names)
        return int(connection.execute(text(sql), _named("last", last)).scalar_one())

    def _keys(self, connection: Connection, after: Key | None) -> list[Key]:
        dialect = connection.dialect.name
        names = [quoted(connection, name) for name in self.key]
        read = ", ".join(reading(name, kind, dialect) for name, kind in zip(names, self.key_types, strict=True))
        where = f" WHERE {self._beyond(connection, '>', 'after')}" if after is not None else ""
        source = self.source.quoted(connection)
        order = ", ".join(f"{source}.{name}" for name in names)  # the name alone would mean the text that is read
        sql = f"SELECT {read} FROM {source}{where} ORDER BY {order} LIMIT {_CHUNK}"  # noqa: S608 (quoted names)
        return list(map(tuple, connection.execute(text(sql), _named("after", after))))

    def _copy(self, connection: Connection, after: Key | None, last: Key) -> int:
        names = ", ".join(quoted(connection, name) for name in self.names)
        target, source = self.table.quoted(connection), self.source.quoted(connection)
        where = [self._beyond(connection, "<=", "last")]
        if after is not None:
            where.append(self._beyond(connection, ">", "after"))
        if self.on_conflict == "skip":
            keys = [quoted(connection, name) for name in self.key]
            same = " AND ".join(f"{target}.{name} = {source}.{name}" for name in keys)
            where.append(f"NOT EXISTS (SELECT 1 FROM {target} WHERE {same})")  # noqa: S608
        overriding = " OVERRIDING SYSTEM VALUE" if connection.dialect.name == "postgresql" else ""
        sql = f"INSERT INTO {target} ({names}){overriding} SELECT {names} FROM {source} WHERE {' AND '.join(where)}"  # noqa: S608
        return connection.execute(text(sql), _named("after", after) | _named("last", last)).rowcount

    def _beyond(self, connection: Connection, comparison: str, name: str) -> str:
        """Compare the key with the parameters of that name."""
        columns = ", ".join(f"{self.source.quoted(connection)}.{quoted(connection, one)}" for one in self.key)
        values: list[str] = []
        for at, kind in enumerate(self.key_types):
            is_text = is_read_as_text(kind, connection.dialect.name)
            values.append(f"CAST(CAST(:{name}_{at} AS text) AS {escaped(kind)})" if is_text else f":{name}_{at}")
        return f"({columns}) {comparison} ({', '.join(values)})"


def _named(name: str, key: Key | None) -> dict[str, object]:
    return {f"{name}_{at}": value for at, value in enumerate(key or ())}
