"""Reads from a database what its tables look like: columns, keys, and who refers to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import Date, DateTime, Integer, Numeric, String, TypeEngine

from celeriac.families.cleanup.archives_table import TableName, columns_of_table
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.references import Reference, read_references

#: SQLite's own number of a row, for tables without a primary key.
ROWID = "rowid"
_HEIRS = text(
    "SELECT n.nspname, p.relname, CAST(CAST(i.inhrelid AS regclass) AS text) FROM pg_inherits i "
    "JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace "
    "WHERE p.relkind = 'r' ORDER BY i.inhrelid"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `declared` is its type as the database writes it."""

    name: str
    type: TypeEngine[Any]
    declared: str
    is_nullable: bool
    is_generated: bool

    @property
    def is_number(self) -> bool:
        return isinstance(self.type, Integer | Numeric)

    @property
    def is_text(self) -> bool:
        return isinstance(self.type, String)

    @property
    def is_date(self) -> bool:
        return isinstance(self.type, Date)

    @property
    def has_zone(self) -> bool:
        return isinstance(self.type, DateTime) and self.type.timezone

    @property
    def length(self) -> int | None:
        """Characters that a text may have; None: no limit."""
        return self.type.length if isinstance(self.type, String) else None


@dataclass(frozen=True, slots=True)
class Shape:
    """A table.

    Attributes:
        references: those of other tables, and its own, to it.
        gaps: columns of the key that may be NULL all the same: SQLite allows that.
        heirs: tables of Postgres that inherit from it, which are no partitions. Their rows are not its own.
    """

    schema: str | None
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    references: tuple[Reference, ...]
    gaps: tuple[str, ...] = ()
    heirs: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name, for people and for configuration."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return a column.

        Raises:
            TableRefused: there is none of that name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise TableRefused(f"table {self.shown} has no column {name!r}; it has {', '.join(self.names)}")


class Catalogue:
    """The tables of one database, each read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inspector: Inspector = inspect(connection)
        self._incoming: Mapping[tuple[str | None, str], list[Reference]] | None = None
        self._heirs: Mapping[tuple[str | None, str], list[str]] | None = None
        self._shapes: dict[tuple[str | None, str], Shape] = {}

    def shape(self, name: str) -> Shape:
        """Return a table by `table` or `schema.table`.

        Raises:
            TableRefused: there is no such table, or no key by which its rows can be told apart.
        """
        schema, _, table = name.rpartition(".")
        return self.shape_of(schema or None, table)

    def shape_of(self, schema: str | None, table: str) -> Shape:
        """The same, with the schema apart."""
        place = (self._named(schema), self._spelt(table))
        if place not in self._shapes:
            self._shapes[place] = self._read(*place)
        return self._shapes[place]

    def _named(self, schema: str | None) -> str | None:
        return None if schema == self._inspector.default_schema_name else schema

    def _spelt(self, table: str) -> str:
        """Return a table's name as the database has it: SQLite takes `Orders` for `orders`."""
        if self._connection.dialect.name != "sqlite":
            return table
        query = text("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name = :name COLLATE NOCASE")
        return str(self._connection.execute(query, {"name": table}).scalar() or table)

    def _read(self, schema: str | None, table: str) -> Shape:
        place = (schema, table)
        shown = f"{schema}.{table}" if schema else table
        try:
            found = self._inspector.get_columns(table, schema=schema)
            if not self._inspector.has_table(table, schema=schema) or table in self._inspector.get_view_names(schema):
                raise TableRefused(f"{shown} is no table")
            key = tuple(self._inspector.get_pk_constraint(table, schema=schema)["constrained_columns"])
        except NoSuchTableError:
            raise TableRefused(f"there is no table {shown}; is its schema named, as in schema.table?") from None
        dialect = self._connection.dialect
        if dialect.name in ("mysql", "mariadb"):
            self._require_transactions(schema, table)
        declared = columns_of_table(self._connection, TableName(schema, table))
        columns = tuple(
            Column(
                name=str(one["name"]),
                type=one["type"],
                declared=declared.get(one["name"], ""),
                is_nullable=bool(one["nullable"]),
                is_generated="computed" in one,
            )
            for one in found
        )
        if not key and dialect.name == "sqlite" and not any(column.name.lower() == ROWID for column in columns):
            key = (ROWID,)
        if not key:
            raise TableRefused(
                f"table {shown} has no primary key, by which its rows could be told apart: add one, such as "
                f"ALTER TABLE {shown} ADD COLUMN id BIGINT … PRIMARY KEY"
            )
        gaps = self._gaps(table, columns, key) if dialect.name == "sqlite" else ()
        return Shape(schema, table, columns, key, tuple(self._incoming_of(schema, table)), gaps, self._heirs_of(place))

    def _gaps(self, table: str, columns: Sequence[Column], key: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of a key of SQLite that may be NULL. A key without an index is the row's own number."""
        is_index = text("SELECT 1 FROM pragma_index_list(:table) WHERE origin = 'pk'")
        if self._connection.execute(is_index, {"table": table}).first() is None:
            return ()
        return tuple(column.name for column in columns if column.name in key and column.is_nullable)

    def _heirs_of(self, place: tuple[str | None, str]) -> tuple[str, ...]:
        if self._connection.dialect.name != "postgresql":
            return ()
        if self._heirs is None:
            found: dict[tuple[str | None, str], list[str]] = {}
            for schema, table, heir in self._connection.execute(_HEIRS):
                found.setdefault((self._named(str(schema)), str(table)), []).append(str(heir))
            self._heirs = found
        return tuple(self._heirs.get(place, ()))

    def _require_transactions(self, schema: str | None, table: str) -> None:
        """
        Raises:
            TableRefused: the table's engine cannot take changes back, so that a kill before the audit loses rows.
        """
        query = text(
            "SELECT e.engine FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine "
            "WHERE t.table_schema = coalesce(:schema, database()) AND t.table_name = :table AND e.transactions <> 'YES'"
        )
        engine = self._connection.execute(query, {"schema": schema, "table": table}).scalar()
        if engine is not None:
            raise TableRefused(
                f"table {table} has the engine {engine}, which has no transactions: rows could be lost. Change it: "
                f"ALTER TABLE {table} ENGINE = InnoDB"
            )

    def _incoming_of(self, schema: str | None, table: str) -> Sequence[Reference]:
        if self._incoming is None:
            self._incoming = read_references(self._connection, self._named)
        return self._incoming.get((schema, table), [])
