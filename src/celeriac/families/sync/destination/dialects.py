"""What differs between SQLite, Postgres and MySQL when rows are written and tables changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from sqlalchemy import Connection

from celeriac.families.sync.columns import Column
from celeriac.families.sync.errors import SyncFailed
from celeriac.families.sync.kinds import Kind

Data = Sequence[Sequence[Any]]


class Dialect(Protocol):
    """How one kind of database is written."""

    name: str

    def type_of(self, column: Column) -> str:
        """Return the SQL type of a new column."""
        ...

    def upsert(self, table: str, columns: Sequence[tuple[str, Column]]) -> str:
        """Return the statement that inserts rows, and replaces those with the same key. Names are quoted already.

        Without a key it only inserts.
        """
        ...

    def write(self, connection: Connection, statement: str, data: Data) -> int | None:
        """Run that statement for the values of each column. Return how many rows it wrote; None: MySQL cannot say."""
        ...

    def widening(self, table: str, name: str, old: Column, new: Column) -> list[str]:
        """Return the statements that change a column's type, and its values with it."""
        ...

    def copying(self, target: str, source: str, columns: Sequence[tuple[str, Column]]) -> str:
        """Return the statement that upserts all rows of one table, or of a query in brackets, into another."""
        ...


def _assignments(columns: Sequence[tuple[str, Column]], form: str) -> str:
    return ", ".join(f"{name} = {form.format(name)}" for name, column in columns if not column.is_key)


def _on_conflict(columns: Sequence[tuple[str, Column]]) -> str:
    """What SQLite and Postgres do with a key that is there."""
    keys = ", ".join(name for name, column in columns if column.is_key)
    if not keys:
        return ""
    assigned = _assignments(columns, "excluded.{}")
    return f" ON CONFLICT ({keys}) DO " + (f"UPDATE SET {assigned}" if assigned else "NOTHING")


def _listed(columns: Sequence[tuple[str, Column]]) -> str:
    return ", ".join(name for name, _ in columns)


class Sqlite:
    """Columns whose type was inferred have none in the database: one that it gives them would change later values.

    Where `0123` comes into a column that was INTEGER, SQLite stores 123. The kinds are in `celeriac_sync_column`.
    OR ABORT: else a constraint of the table's that says ON CONFLICT REPLACE, or IGNORE, would drop rows in silence.
    """

    name = "sqlite"
    _TYPES: ClassVar = {
        Kind.TIMESTAMP: "TEXT",
        Kind.DATE: "TEXT",
        Kind.JSON: "TEXT",
        Kind.NUMERIC: "",
        Kind.DOUBLE: "REAL",
    }

    def type_of(self, column: Column) -> str:
        if not column.is_fixed:
            return ""
        return self._TYPES.get(column.kind, {Kind.INTEGER: "INTEGER", Kind.BOOLEAN: "BOOLEAN"}.get(column.kind, "TEXT"))

    def upsert(self, table: str, columns: Sequence[tuple[str, Column]]) -> str:
        places = ", ".join("?" * len(columns))
        return f"INSERT OR ABORT INTO {table} ({_listed(columns)}) VALUES ({places}){_on_conflict(columns)}"  # noqa: S608

    def write(self, connection: Connection, statement: str, data: Data) -> int | None:
        return connection.exec_driver_sql(statement, list(zip(*data, strict=True))).rowcount

    def widening(self, table: str, name: str, old: Column, new: Column) -> list[str]:
        if new.kind is not Kind.TEXT:
            return []
        if old.kind is Kind.BOOLEAN:
            text = f"CASE {name} WHEN 0 THEN 'false' ELSE 'true' END"
        else:
            text = f"CAST({name} AS TEXT)"
        return [f"UPDATE {table} SET {name} = {text} WHERE {name} IS NOT NULL AND typeof({name}) <> 'text'"]  # noqa: S608

    def copying(self, target: str, source: str, columns: Sequence[tuple[str, Column]]) -> str:
        # WHERE true: else the parser takes ON for that of a join
        names = _listed(columns)
        rows = f"SELECT {names} FROM {source} AS given WHERE true"  # noqa: S608 (quoted)
        return f"INSERT OR ABORT INTO {target} ({names}) {rows}{_on_conflict(columns)}"


class Postgres:
    """Rows go as one array for each column: one statement, one round trip."""

    name = "postgresql"
    _TYPES: ClassVar = {
        Kind.BOOLEAN: "boolean",
        Kind.INTEGER: "bigint",
        Kind.NUMERIC: "numeric",
        Kind.DOUBLE: "double precision",
        Kind.TEXT: "text",
        Kind.JSON: "jsonb",
        Kind.TIMESTAMP: "timestamptz",
        Kind.DATE: "date",
    }

    def type_of(self, column: Column) -> str:
        return column.cast or self._TYPES[column.kind]

    def upsert(self, table: str, columns: Sequence[tuple[str, Column]]) -> str:
        places = range(1, len(columns) + 1)
        placed = [(place, column) for place, (_, column) in zip(places, columns, strict=True)]
        arrays = ", ".join(f"${place}::{self._TYPES[column.kind]}[]" for place, column in placed)
        casts = ", ".join(self._cast(f"c{place}", column) for place, column in placed)
        names = ", ".join(f"c{place}" for place in places)
        rows = f"SELECT {casts} FROM unnest({arrays}) AS given ({names})"  # noqa: S608
        return f"INSERT INTO {table} ({_listed(columns)}) {rows}{_on_conflict(columns)}"

    def _cast(self, value: str, column: Column) -> str:
        """A value that the cast would cut or round is refused, in words that the second cast cannot read."""
        cast, whole = column.cast, column.whole
        if whole == "bit varying":  # where the column itself refuses another length
            return f"{value}::{whole}"
        if not whole:
            return f"{value}::{cast}" if cast else value
        loses = f"{value}::{cast}::{whole} IS DISTINCT FROM {value}::{whole}"
        return f"CASE WHEN {loses} THEN ({value} || ' would be cut or rounded')::{cast} ELSE {value}::{cast} END"

    def write(self, connection: Connection, statement: str, data: Data) -> int | None:
        return connection.exec_driver_sql(statement, tuple(data)).rowcount

    def widening(self, table: str, name: str, old: Column, new: Column) -> list[str]:
        kind = self.type_of(new)
        return [f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}"]

    def copying(self, target: str, source: str, columns: Sequence[tuple[str, Column]]) -> str:
        names = _listed(columns)
        return f"INSERT INTO {target} ({names}) SELECT {names} FROM {source} AS given{_on_conflict(columns)}"  # noqa: S608


class Mysql:
    """Texts of keys compare byte for byte: else `a` and `A` would be one key. MySQL's name for that differs."""

    _TYPES: ClassVar = {
        Kind.BOOLEAN: "BOOLEAN",
        Kind.INTEGER: "BIGINT",
        Kind.NUMERIC: "DECIMAL(65,30)",
        Kind.DOUBLE: "DOUBLE",
        Kind.TEXT: "LONGTEXT",
        Kind.JSON: "JSON",
        Kind.TIMESTAMP: "DATETIME(6)",
        Kind.DATE: "DATE",
    }

    def __init__(self, name: str, is_mariadb: bool) -> None:
        self.name = name
        self._collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"

    def type_of(self, column: Column) -> str:
        text = "VARCHAR(255)" if column.is_key else "LONGTEXT"
        if column.kind is Kind.TEXT:
            return f"{text} CHARACTER SET utf8mb4 COLLATE {self._collation}"
        return self._TYPES[column.kind]

    def upsert(self, table: str, columns: Sequence[tuple[str, Column]]) -> str:
        places = ", ".join(["%s"] * len(columns))
        return f"INSERT INTO {table} ({_listed(columns)}) VALUES ({places}){self._on_duplicate(columns)}"  # noqa: S608

    def _on_duplicate(self, columns: Sequence[tuple[str, Column]]) -> str:
        key = next((name for name, column in columns if column.is_key), None)
        if key is None:
            return ""
        return f" ON DUPLICATE KEY UPDATE {_assignments(columns, 'VALUES({})') or f'{key} = {key}'}"

    def write(self, connection: Connection, statement: str, data: Data) -> int | None:
        rows = list(zip(*data, strict=True))
        self._check_sizes(connection, rows)
        connection.exec_driver_sql(statement, rows)

    def _check_sizes(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """
        Raises:
            SyncFailed: a row is larger than the server takes. It would break the connection, each time again.
        """
        longest = max((sum(len(value) for value in row if isinstance(value, str)) for row in rows), default=0)
        if longest * _MOST_BYTES < _ANY_PACKET:
            return
        from pymysql.converters import escape_string  # the driver is there only where somebody uses MySQL

        most = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())
        size = max(sum(len(escape_string(value).encode()) for value in row if isinstance(value, str)) for row in rows)
        if size + _STATEMENT > most:
            raise SyncFailed(
                f"a row has {size:,} bytes as SQL has them, and the server takes no more than {most:,}: raise its "
                "max_allowed_packet"
            )

    def widening(self, table: str, name: str, old: Column, new: Column) -> list[str]:
        kind = self.type_of(new) + (" NOT NULL" if old.is_required else "")  # MODIFY forgets what it is not told
        if old.kind is Kind.BOOLEAN:  # whose text would be 0 and 1
            text = f"UPDATE {table} SET {name} = CASE {name} WHEN '0' THEN 'false' ELSE 'true' END"  # noqa: S608
            return [f"ALTER TABLE {table} MODIFY {name} {kind}", f"{text} WHERE {name} IS NOT NULL"]
        return [f"ALTER TABLE {table} MODIFY {name} {kind}"]

    def copying(self, target: str, source: str, columns: Sequence[tuple[str, Column]]) -> str:
        names = _listed(columns)
        return f"INSERT INTO {target} ({names}) SELECT {names} FROM {source} AS given{self._on_duplicate(columns)}"  # noqa: S608


def dialect_of(connection: Connection) -> Dialect:
    """Return how the database of a connection is written."""
    name = connection.dialect.name
    if name == "sqlite":
        return Sqlite()
    if name == "postgresql":
        return Postgres()
    return Mysql(name, bool(getattr(connection.dialect, "is_mariadb", False)))


def use_utc(connection: Connection) -> None:
    """Have this transaction write moments in UTC into columns that have no time zone, whatever the server's own is.

    All that Celeriac does on MySQL is in UTC.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")


def be_strict(connection: Connection) -> None:
    """Have MySQL refuse what does not fit, whatever its own mode is: else it would cut texts and write zeros."""
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.exec_driver_sql("SET sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")


def check_at_once(connection: Connection) -> None:
    """Have constraints that wait for the commit checked at each statement. The rest of the transaction is ours."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


#: Bytes of a character; of the smallest packet that any server takes by default; of what comes around a row.
_MOST_BYTES, _ANY_PACKET, _STATEMENT = 4, 1_000_000, 65_536
