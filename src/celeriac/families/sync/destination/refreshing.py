"""A full refresh: rows are written into a table beside, whose content then replaces that of the table.

The table itself stays, with its grants, views and indexes. Until the one transaction that swaps the content, it has the
rows of the refresh before: one that fails, or is killed, changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, inspect

from celeriac.families.sync.columns import Changes, Column, Known
from celeriac.families.sync.destination.dialects import be_strict, dialect_of, use_utc
from celeriac.families.sync.destination.refusing import copy_apart, copy_rows
from celeriac.families.sync.destination.table import SqlTable
from celeriac.families.sync.destination.writer import Ended
from celeriac.families.sync.errors import SyncFailed
from celeriac.families.sync.kinds import Kind, wider
from celeriac.families.sync.model import BESIDE, Deletes, Stream
from celeriac.families.sync.names import DELETED_AT

_NOW = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')", "postgresql": "now()"}
_NOW_MYSQL = "UTC_TIMESTAMP(6)"


class Refresh:
    """The refresh of one table."""

    def __init__(self, table: SqlTable, stream: Stream) -> None:
        self._table = table
        self._stream = stream
        self.staging = SqlTable(f"{table.name}{BESIDE}", table.schema, table.has_key)

    def begin(self, connection: Connection, key: Sequence[str], *, is_fresh: bool) -> Known:
        """Return the table beside, which is empty if the pass `is_fresh`. It has all columns of the table."""
        target = self._table.look(connection, key)
        names = {path.replace(".", "_").casefold() for path in key}
        mine = [replace(column, is_key=True) for name, column in target.others.items() if name in names]
        if target.exists:  # before the end, when its types may be others
            self._table.check_key(connection, [*target.columns, *mine])
        if is_fresh:
            self._check_ours(connection)
            self.staging.drop(connection)
            if target.columns:
                self.staging.change(connection, target.columns, Changes())
        known = self.staging.look(connection, key)
        others = {name: column for name, column in target.others.items() if name != DELETED_AT}
        return Known(known.columns, others, exists=known.exists)

    def _check_ours(self, connection: Connection) -> None:
        """
        Raises:
            SyncFailed: somebody else has made the table beside, and it has rows.
        """
        beside = self.staging.look(connection)
        if beside.exists and not beside.columns and self._has_rows(connection, self.staging):
            raise SyncFailed(
                f"table {self.staging.id} is not one that a sync has made, and a refresh of {self._table.id} would "
                "replace it: rename one of them"
            )

    def adjust(self, connection: Connection, key: Sequence[str]) -> None:
        """Give the table the columns that the refresh has found."""
        found = self.staging.look(connection, key)
        if found.exists:
            target = self._table.look(connection, key)
            old = {column.name: column for column in target.columns}
            changes = Changes(added={column.name: column for column in found.columns if column.name not in old})
            for column in found.columns:
                before = old.get(column.name)
                if before is not None and (before.kind is not column.kind or before.limit != column.limit):
                    changes.widened[column.name] = replace(column, kind=wider(before.kind, column.kind))
            self._table.change(connection, found.columns, changes)
        if self._stream.deletes is Deletes.SOFT and self._table.exists(connection):
            self._add_deleted_at(connection)

    def _add_deleted_at(self, connection: Connection) -> None:
        known = self._table.look(connection)
        if DELETED_AT not in known.others:
            column = Column(field=DELETED_AT, name=DELETED_AT, kind=Kind.TIMESTAMP, is_fixed=True)
            kind = dialect_of(connection).type_of(column)
            connection.exec_driver_sql(f"ALTER TABLE {self._table.quoted(connection)} ADD COLUMN {DELETED_AT} {kind}")

    def swap(self, connection: Connection, key: Sequence[str], *, parts_rows: bool) -> Ended:
        """Replace the rows of the table; with `parts_rows`, by all but those that it refuses.

        Raises:
            SyncFailed: the refresh is empty, the table is not, and the stream does not allow that.
        """
        if not self._table.exists(connection):
            return Ended()
        has_new = self.staging.exists(connection) and self._has_rows(connection, self.staging)
        if not has_new and not self._stream.allow_empty and self._has_rows(connection, self._table):
            raise SyncFailed(
                f"stream {self._stream.name}: the source has no records at all, and table {self._table.id} has rows; "
                "set allow_empty: true if it may become empty"
            )
        if not self.staging.exists(connection):  # nothing has come, and nothing needed to
            return Ended(self._delete(connection, ""))
        columns = self.staging.look(connection, key).columns
        quote = connection.dialect.identifier_preparer.quote_identifier
        target, staging = self._table.quoted(connection), self.staging.quoted(connection)
        keys = [quote(column.name) for column in columns if column.is_key]
        same = " AND ".join(f"{staging}.{name} = {target}.{name}" for name in keys)
        there = f"EXISTS (SELECT 1 FROM {staging} WHERE {same})" if keys else ""  # noqa: S608 (quoted)
        deleted = self._delete(connection, f"NOT {there}" if there else "")
        named = [(quote(column.name), column) for column in columns]
        use_utc(connection)
        be_strict(connection)
        if parts_rows and keys:
            most = math.inf if self._refers_to_itself(connection) else self._stream.max_rejected
            refused = copy_apart(connection, target, staging, named, most)
        else:
            refused = []
            count = connection.exec_driver_sql(f"SELECT count(*) FROM {staging}").scalar_one()  # noqa: S608 (quoted)
            copy_rows(connection, target, staging, named, count)
        if self._stream.deletes is Deletes.SOFT:
            back = f"UPDATE {target} SET {DELETED_AT} = NULL WHERE {DELETED_AT} IS NOT NULL AND {there}"  # noqa: S608
            connection.exec_driver_sql(back)
        without_row = self._without_row(connection, key, columns) if refused else ()
        return Ended(deleted, refused, without_row)

    def _without_row(self, connection: Connection, key: Sequence[str], columns: Sequence[Column]) -> list[list[Any]]:
        """Return the keys of the records that have no row in the table, neither theirs nor an older one."""
        fields = {column.field: column for column in columns}
        keys = [fields[path] for path in key]
        quote = connection.dialect.identifier_preparer.quote_identifier
        staging, target = self.staging.quoted(connection), self._table.quoted(connection)
        names = ", ".join(quote(column.name) for column in keys)
        same = " AND ".join(f"{target}.{quote(column.name)} = {staging}.{quote(column.name)}" for column in keys)
        query = f"SELECT {names} FROM {staging} WHERE NOT EXISTS (SELECT 1 FROM {target} WHERE {same})"  # noqa: S608
        rows = connection.exec_driver_sql(query)
        return [[bool(v) if one.kind is Kind.BOOLEAN else v for one, v in zip(keys, row, strict=True)] for row in rows]

    def _delete(self, connection: Connection, vanished: str) -> int:
        """Delete or mark the rows for which `vanished` holds; all without it."""
        target = self._table.quoted(connection)
        if self._stream.deletes is Deletes.KEEP:
            return 0
        if self._stream.deletes is Deletes.SOFT:
            now = _NOW.get(connection.dialect.name, _NOW_MYSQL)
            where = f"{DELETED_AT} IS NULL" + (f" AND {vanished}" if vanished else "")
            statement = f"UPDATE {target} SET {DELETED_AT} = {now} WHERE {where}"  # noqa: S608 (quoted)
        else:
            statement = f"DELETE FROM {target}" + (f" WHERE {vanished}" if vanished else "")  # noqa: S608 (quoted)
        return connection.exec_driver_sql(statement).rowcount

    def _refers_to_itself(self, connection: Connection) -> bool:
        """Return whether rows may be refused only until others are there."""
        there = inspect(connection).get_foreign_keys(self._table.name, self._table.schema)
        return any(one["referred_table"].casefold() == self._table.name.casefold() for one in there)

    def _has_rows(self, connection: Connection, table: SqlTable) -> bool:
        query = f"SELECT 1 FROM {table.quoted(connection)} LIMIT 1"  # noqa: S608 (quoted)
        return connection.exec_driver_sql(query).first() is not None
