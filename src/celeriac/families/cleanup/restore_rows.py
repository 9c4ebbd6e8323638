"""Writes rows of an archive's files into a table, as each kind of database takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, bindparam, inspect, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from celeriac.core.printable import one_line
from celeriac.families.cleanup.archives_cells import same_values, text_of
from celeriac.families.cleanup.archives_columns import reading, use_exact_texts
from celeriac.families.cleanup.archives_table import TableName, columns_of_table, quoted
from celeriac.families.cleanup.errors import ArchiveRefused

OnConflict = Literal["skip", "fail"]
Columns = Sequence[Sequence[Any]]
Row = tuple[Any, ...]

#: SQLite's own number of a row, which is the key of a table without one.
ROWID = "rowid"
#: A type of which -1 says that it has no length. Without that, `character` would mean one character.
_BARE_TYPES = text(
    "SELECT attname, format_type(atttypid, -1) FROM pg_attribute "
    "WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
)


@dataclass(frozen=True, slots=True)
class Inserting:
    """How rows with certain columns go into a table."""

    table: TableName
    names: Sequence[str]
    types: Mapping[str, str]
    key: Sequence[str]
    places: Sequence[int]
    on_conflict: OnConflict

    @classmethod
    def plan(cls, connection: Connection, table: TableName, names: Sequence[str], on_conflict: OnConflict) -> Inserting:
        """Look at the table.

        Raises:
            ArchiveRefused: it cannot take rows with these columns, or has no key by which they could be told apart.
        """
        types = columns_of_table(connection, table)
        key = key_of(connection, table, names)
        if on_conflict == "skip" and not key:
            raise ArchiveRefused(
                f"the table {table} has no primary key among the archive's columns, so that rows that are there cannot "
                "be skipped: restore into an empty table, and choose `fail`"
            )
        missing = [name for name in names if name not in types and name not in key]
        if missing:
            raise ArchiveRefused(
                f"the table {table} lacks the archive's columns {', '.join(missing)}: add them, or name another table"
            )
        computed = generated_columns(connection, table)
        wanted = [name for name in names if name not in computed]
        return cls(table, wanted, types, key, [names.index(name) for name in wanted], on_conflict)

    def insert(self, connection: Connection, columns: Columns, place: str) -> int:
        """Write the rows, and return how many were new.

        Raises:
            ArchiveRefused: the database does not take them. `place` is named.
        """
        chosen = [columns[at] for at in self.places]
        insert = self._into_postgres if connection.dialect.name == "postgresql" else self._into_others
        what = f"rows at {place} cannot be restored into {self.table}"
        return refused_rows(what, lambda: insert(connection, chosen))

    def _into_postgres(self, connection: Connection, columns: Columns) -> int:
        """Send a column at a time, as texts: the database reads each as the column's type, and gives it back."""
        use_exact_texts(connection)
        numbers = range(len(columns))
        values = ", ".join(f"CAST(v.c{at} AS {escaped(kind)})" for at, kind in enumerate(self._bare_types(connection)))
        arrays = ", ".join(f"CAST(:c{at} AS text[])" for at in numbers)
        names = [quoted(connection, name) for name in self.names]
        sql = (
            f"INSERT INTO {self.table.quoted(connection)} ({', '.join(names)}) OVERRIDING SYSTEM VALUE "  # noqa: S608
            f"SELECT {values} FROM unnest({arrays}) AS v({', '.join(f'c{at}' for at in numbers)})"
        )
        if self.on_conflict == "skip":
            sql += f" ON CONFLICT ({', '.join(quoted(connection, name) for name in self.key)}) DO NOTHING"
        read = [reading(name, self.types[one], "postgresql") for name, one in zip(names, self.names, strict=True)]
        sent = {f"c{at}": list(map(text_of, column)) for at, column in enumerate(columns)}
        found = list(map(tuple, connection.execute(text(f"{sql} RETURNING {', '.join(read)}"), sent)))
        self._compare(list(zip(*columns, strict=True)), found)
        return len(found)

    def _bare_types(self, connection: Connection) -> Sequence[str]:
        """Return the columns' types without lengths: a cast to `varchar(3)` would shorten a text, and say nothing."""
        parameters = {"name": self.table.quoted(connection).replace("\\:", ":")}
        types = {str(name): str(kind) for name, kind in connection.execute(_BARE_TYPES, parameters)}
        return [types[name] for name in self.names]

    def _into_others(self, connection: Connection, columns: Columns) -> int:
        """Leave rows out whose key is there. What databases offer for that would skip other conflicts, too."""
        to_send = _for_sqlite if connection.dialect.name == "sqlite" else _for_mysql
        rows = [tuple(map(to_send, row)) for row in zip(*columns, strict=True)]
        places = [list(self.names).index(name) for name in self.key]
        keys = [tuple(row[at] for at in places) for row in rows]
        if self.on_conflict == "skip":
            there = {row[: len(places)] for row in self._found(connection, keys, self.key)}
            rows = [row for row, key in zip(rows, keys, strict=True) if key not in there]
            keys = [key for key in keys if key not in there]
        if rows:
            values = ", ".join(f":c{at}" for at in range(len(columns)))
            names = ", ".join(quoted(connection, name) for name in self.names)
            sql = f"INSERT INTO {self.table.quoted(connection)} ({names}) VALUES ({values})"  # noqa: S608 (quoted names)
            connection.execute(text(sql), [{f"c{at}": value for at, value in enumerate(row)} for row in rows])
            self._compare(rows, self._found(connection, keys, self.names) if self.key else rows)
        return len(rows)

    def _found(self, connection: Connection, keys: Sequence[Row], names: Sequence[str]) -> list[Row]:
        """Return the rows that have those keys."""
        key = ", ".join(quoted(connection, name) for name in self.key)
        dialect = connection.dialect.name
        read = ", ".join(reading(quoted(connection, one), self.types.get(one, ""), dialect) for one in names)
        sql = f"SELECT {read} FROM {self.table.quoted(connection)} WHERE ({key}) IN :keys"  # noqa: S608 (quoted names)
        wanted = [one[0] for one in keys] if len(self.key) == 1 else list(keys)
        found = connection.execute(text(sql).bindparams(bindparam("keys", expanding=True)), {"keys": wanted})
        return list(map(tuple, found))

    def _compare(self, sent: Sequence[Row], found: Sequence[Row]) -> None:
        """
        Raises:
            ArchiveRefused: a value is another one in the table, such as a number that was rounded.
        """
        places = [list(self.names).index(name) for name in self.key]
        by_key = {tuple(row[at] for at in places): row for row in sent} if places else {}
        for at, row in enumerate(found):
            wanted = by_key.get(tuple(row[place] for place in places), row) if places else sent[at]
            if wanted != row and not same_values(wanted, row):
                values = zip(self.names, wanted, row, strict=True)
                name = next(name for name, one, other in values if not same_values([one], [other]))
                raise ArchiveRefused(
                    f"the column {name!r} of {self.table} would change values of the archive: its type is "
                    f"{self.types.get(name, 'another one')}. Restore into a table with the columns of the original"
                )


def refused_rows(what: str, insert: Callable[[], int]) -> int:
    """Write rows, and return how many.

    Raises:
        ArchiveRefused: the database does not take them: a conflict, a missing parent, a value that does not fit.
    """
    try:
        return insert()
    except (IntegrityError, DataError) as error:
        if _without_partition(error):
            raise ArchiveRefused(
                f"{what}: {_first_line(error)}. Create a partition for them (CREATE TABLE … PARTITION OF … FOR VALUES "
                "…), or restore them into another table with `into`. Their chunk is undone"
            ) from error
        raise ArchiveRefused(f"{what}: {_first_line(error)}. Their chunk is undone") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "")[:2] in (
            "22",
            "23",
            "42",
            "44",
        ):  # data, integrity, types and rights, a view's check
            raise ArchiveRefused(f"{what}: {_first_line(error)}. Their chunk is undone") from error
        raise


def _without_partition(error: DBAPIError) -> bool:
    """Return whether a partitioned table of Postgres has no partition for a row. No constraint is named then."""
    says = getattr(error.orig, "__cause__", None)
    return getattr(error.orig, "sqlstate", "") == "23514" and getattr(says, "constraint_name", "") is None


def _first_line(error: DBAPIError) -> str:
    """Return what the database says, without the details, which may have values of rows."""
    said = str(getattr(error.orig, "args", [""])[-1]).splitlines() or [type(error.orig).__name__]
    return one_line(said[0].rpartition("'>: ")[2])


def key_of(connection: Connection, table: TableName, names: Sequence[str]) -> Sequence[str]:
    """Return the primary key of a table if the archive has all of it. In SQLite, the row number stands in for one."""
    key = inspect(connection).get_pk_constraint(table.name, schema=table.schema)["constrained_columns"]
    if not key and connection.dialect.name == "sqlite":
        key = [ROWID]
    return key if set(key) <= set(names) else []


def generated_columns(connection: Connection, table: TableName) -> set[str]:
    """Return the columns that the database computes, and nobody may write."""
    parameters = {"schema": table.schema, "name": table.name}
    match connection.dialect.name:
        case "postgresql":
            sql = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attgenerated <> ''"
            parameters = {"name": table.quoted(connection).replace("\\:", ":")}
        case "sqlite":
            sql = f"SELECT name FROM pragma_table_xinfo({_literal(table.name)}) WHERE hidden IN (2, 3)"  # noqa: S608
            parameters = {}
        case _:
            sql = (
                "SELECT column_name FROM information_schema.columns WHERE table_schema = COALESCE(:schema, DATABASE()) "
                "AND table_name = :name AND extra LIKE '%GENERATED%' AND extra NOT LIKE '%DEFAULT_GENERATED%'"
            )
    return {str(name) for (name,) in connection.execute(text(sql), parameters)}


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''").replace(":", "\\:") + "'"


def escaped(sql: str) -> str:
    """Return SQL of the database's own for SQLAlchemy's `text`."""
    return sql.replace(":", "\\:")


def _for_sqlite(value: Any) -> Any:
    """SQLite has integers, floats, texts and bytes."""
    if value is None or isinstance(value, int | float | str | bytes):
        return value
    return value.isoformat(" ") if isinstance(value, datetime) else text_of(value)


def _for_mysql(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return text_of(cast("Any", value)) if isinstance(value, dict | list) else value
