"""One table of a destination: what it looks like, how it is changed, and how rows come into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, insert, inspect, select, update
from sqlalchemy.types import NullType

from celeriac.families.sync.columns import Changes, Column, Known
from celeriac.families.sync.destination.collations import advice, loose_columns
from celeriac.families.sync.destination.dialects import Data, Dialect, dialect_of
from celeriac.families.sync.destination.found_types import casts_of, found_kind, is_widened
from celeriac.families.sync.errors import SyncFailed
from celeriac.families.sync.kinds import Kind
from celeriac.families.sync.tables import column_table as registry

#: Seconds for which a change of a table waits for others. Then the run tries again later.
_PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class SqlTable:
    """A table of a database, by its name.

    Attributes:
        name: its name.
        schema: the schema that it is in; None: the connection's.
        has_key: whether rows are replaced by their key.
    """

    name: str
    schema: str | None = None
    has_key: bool = True

    @property
    def id(self) -> str:
        """Its name among the registered columns."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    def quoted(self, connection: Connection) -> str:
        """Return its name as SQL has it."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        return f"{quote(self.schema)}.{quote(self.name)}" if self.schema else quote(self.name)

    def exists(self, connection: Connection) -> bool:
        """Return whether it is there."""
        return inspect(connection).has_table(self.name, self.schema)

    def look(self, connection: Connection, key: Sequence[str] = ()) -> Known:
        """Return what the database has of it. `key` has the fields of its primary key.

        Raises:
            SyncFailed: rows cannot be replaced by that key, because nothing keeps it unique.
        """
        if not self.exists(connection):
            return Known([], {}, exists=False)
        there = self._reflected(connection)
        query = select(registry).where(registry.c.table == self.id).order_by(registry.c.place)
        columns: list[Column] = []
        for row in connection.execute(query).mappings():
            real = there.pop(row["name"].casefold(), None)
            if real is not None:  # else somebody has dropped it: it comes back with its next value
                kind = Kind(row["kind"])
                limit = real.limit if real.kind is kind else None
                is_key = row["field"] in key
                columns.append(
                    Column(
                        field=row["field"],
                        name=row["name"],
                        kind=kind,
                        limit=limit,
                        is_fixed=row["is_fixed"] or bool(real.cast),
                        is_key=is_key,
                        cast=real.cast,
                        whole=real.whole,
                    )
                )
        return Known(columns, there, exists=True)

    def _reflected(self, connection: Connection) -> dict[str, Column]:
        found: dict[str, Column] = {}
        casts = casts_of(connection, self.quoted(connection))
        for one in inspect(connection).get_columns(self.name, self.schema):
            name, dialect = one["name"], connection.dialect.name
            kind, limit = found_kind(one["type"], dialect)
            cast, whole = casts.get(name, ("", "")) if kind is Kind.TEXT else ("", "")
            # SQLite would make numbers of texts in a column that has the type of numbers, and cannot change that
            is_fixed = dialect == "sqlite" and kind is not Kind.TEXT and not isinstance(one["type"], NullType)
            # JSON has times as texts: whoever has made a column for times has declared how to read them
            is_fixed = is_fixed or kind in (Kind.TIMESTAMP, Kind.DATE) or not is_widened(one["type"], dialect, cast)
            limit = None if is_fixed and kind is Kind.TEXT else limit
            is_required = not one["nullable"]
            found[name.casefold()] = Column(
                field=name,
                name=name,
                kind=kind,
                limit=limit,
                is_fixed=is_fixed,
                cast=cast,
                whole=whole,
                is_required=is_required,
            )
        return found

    def check_key(self, connection: Connection, columns: Sequence[Column]) -> None:
        """
        Raises:
            SyncFailed: nothing keeps the key unique.
        """
        key = {column.name.casefold() for column in columns if column.is_key}
        if not self.has_key or not key:
            return
        look = inspect(connection)
        unique = [look.get_pk_constraint(self.name, self.schema)["constrained_columns"]]
        unique += [one["column_names"] for one in look.get_unique_constraints(self.name, self.schema)]
        indexes = look.get_indexes(self.name, self.schema)
        unique += [[name for name in one["column_names"] if name] for one in indexes if one["unique"]]
        indexed = [{name.casefold() for name in names} for names in unique]
        if not any(names == key for names in indexed):
            listed = ", ".join(sorted(column.name for column in columns if column.is_key))
            raise SyncFailed(
                f"table {self.id}: nothing keeps its key ({listed}) unique, so rows cannot be replaced by it; add a "
                "primary key or a unique index of these columns"
            )
        self._check_exact(connection, key)
        if connection.dialect.name in ("mysql", "mariadb"):
            self._check_only(key, {column.name.casefold() for column in columns}, indexed)

    def _check_exact(self, connection: Connection, key: set[str]) -> None:
        """
        Raises:
            SyncFailed: a key is compared in such a way that two records may be one row.
        """
        for name, how in loose_columns(connection, self.name, self.schema, self.quoted(connection)).items():
            if name.casefold() in key:
                raise SyncFailed(
                    f"table {self.id}: its key {name} takes different texts for the same ({how}), such as 'a' and 'A', "
                    f"so that two records would be one row: make it {advice(connection.dialect.name)}"
                )

    def _check_only(self, key: set[str], written: set[str], indexed: Sequence[set[str]]) -> None:
        """MySQL replaces a row because of any unique index: then that of another key, whose record would be lost.

        Raises:
            SyncFailed: there is another unique index.
        """
        for names in indexed:
            if names & written and not names >= key:
                raise SyncFailed(
                    f"table {self.id}: it has another unique index, of {', '.join(sorted(names))}, and MySQL would "
                    "replace the rows of other keys because of it: make it an index that is not unique"
                )

    def change(self, connection: Connection, columns: Sequence[Column], changes: Changes) -> None:
        """Create it, or add and widen columns. `columns` are all that it is to have.

        It may run again after it was interrupted: MySQL commits each step.
        """
        dialect, table = dialect_of(connection), self.quoted(connection)
        quote = connection.dialect.identifier_preparer.quote_identifier
        if connection.dialect.name == "postgresql":
            # A change that waits for somebody's open transaction holds up all who come to the table after it.
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'")
        if not self.exists(connection):
            connection.execute(delete(registry).where(registry.c.table == self.id))  # of one that somebody has dropped
            connection.exec_driver_sql(self._creation(dialect, table, connection, columns))
        else:
            there = self._reflected(connection)
            for column in changes.added.values():
                old = there.get(column.name.casefold())
                if old is None:
                    kind = dialect.type_of(column)
                    connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {quote(column.name)} {kind}")
                elif (old.kind, old.limit) != (column.kind, column.limit):
                    for statement in dialect.widening(table, quote(column.name), old, column):
                        connection.exec_driver_sql(statement)
            registered = self._registered(connection)
            for column in changes.widened.values():
                real = there[column.name.casefold()]
                old = replace(real, kind=registered.get(column.name, column.kind))
                for statement in dialect.widening(table, quote(column.name), old, column):
                    connection.exec_driver_sql(statement)
            self.check_key(connection, columns)
        self._register(connection, columns)

    def _creation(self, dialect: Dialect, table: str, connection: Connection, columns: Sequence[Column]) -> str:
        quote = connection.dialect.identifier_preparer.quote_identifier
        parts = [f"{quote(column.name)} {dialect.type_of(column)}" for column in columns]
        keys = [quote(column.name) for column in columns if column.is_key]
        if keys and self.has_key:
            parts.append(f"PRIMARY KEY ({', '.join(keys)})")
        return f"CREATE TABLE {table} ({', '.join(parts)})"

    def _registered(self, connection: Connection) -> dict[str, Kind]:
        query = select(registry.c.name, registry.c.kind).where(registry.c.table == self.id)
        return {name: Kind(kind) for name, kind in connection.execute(query)}

    def _register(self, connection: Connection, columns: Sequence[Column]) -> None:
        known = self._registered(connection)
        for place, column in enumerate(columns):
            if column.name not in known:
                values = {"field": column.field, "kind": column.kind, "is_fixed": column.is_fixed, "place": place}
                connection.execute(insert(registry).values(table=self.id, name=column.name, **values))
            elif known[column.name] is not column.kind:
                this = (registry.c.table == self.id) & (registry.c.name == column.name)
                connection.execute(update(registry).where(this).values(kind=column.kind))

    def statement(self, connection: Connection, columns: Sequence[Column]) -> str:
        """Return the statement with which rows of these columns are written."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        keyed = [column if self.has_key else replace(column, is_key=False) for column in columns]
        named = [(quote(column.name), column) for column in keyed]
        return dialect_of(connection).upsert(self.quoted(connection), named)

    def write(self, connection: Connection, statement: str, data: Data) -> int | None:
        """Write rows with `statement`. Return how many the database says it has written, if it says so."""
        return dialect_of(connection).write(connection, statement, data)

    def drop(self, connection: Connection) -> None:
        """Drop it, if it is there."""
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {self.quoted(connection)}")
        connection.execute(delete(registry).where(registry.c.table == self.id))
