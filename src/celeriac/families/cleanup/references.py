"""Reads which tables refer to which, as the database itself has it: what it deletes by itself depends on that.

Reflection is not enough. SQLAlchemy parses the DDL of SQLite, and misses rules that stand at a column and names in
another case. It knows nothing of partitions, and of one database of MySQL only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, text

Place = tuple[str | None, str]
Named = Callable[[str], str | None]

_OF_SQLITE = text(
    'SELECT c.name AS "table", p.name AS to_table, f.id AS number, f."from" AS "column", '
    "coalesce(t.name, f.\"to\", '') AS to_column, f.on_delete "
    "FROM sqlite_master c, pragma_foreign_key_list(c.name) f "
    "JOIN sqlite_master p ON p.type = 'table' AND p.name = f.\"table\" COLLATE NOCASE "
    "LEFT JOIN pragma_table_xinfo(p.name) t "
    'ON CASE WHEN f."to" IS NULL THEN t.pk = f.seq + 1 ELSE t.name = f."to" COLLATE NOCASE END '
    "WHERE c.type = 'table' ORDER BY c.name, f.id DESC, f.seq"
)
_OF_MYSQL = text(
    "SELECT k.table_schema AS `schema`, k.table_name AS `table`, k.referenced_table_schema AS to_schema, "
    "k.referenced_table_name AS to_table, k.constraint_name AS number, k.column_name AS `column`, "
    "k.referenced_column_name AS to_column, coalesce(r.delete_rule, 'HIDDEN') AS on_delete "
    "FROM information_schema.key_column_usage k LEFT JOIN information_schema.referential_constraints r "
    "ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name "
    "AND r.table_name = k.table_name "
    "WHERE k.referenced_table_name IS NOT NULL "
    "ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position"
)
#: A foreign key of a partitioned table has copies for the partitions, on both sides: only the first one counts. It
#: concerns those below the table that it names. Those above have its rows as well.
_OF_POSTGRES = text(
    "SELECT n.nspname AS schema, c.relname AS table, tn.nspname AS to_schema, t.relname AS to_table, "
    "CASE WHEN NOT kin.is_above THEN '' ELSE CAST(CAST(f.confrelid AS regclass) AS text) END AS part, "
    "f.conrelid <> kin.oid AND coalesce(pg_partition_root(f.conrelid) = pg_partition_root(f.confrelid), false) "
    "AS is_kin, f.confdeltype AS on_delete, "
    "ARRAY(SELECT CAST(a.attname AS text) FROM unnest(f.conkey) WITH ORDINALITY k(number, place) "
    "JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number ORDER BY place) AS columns, "
    "ARRAY(SELECT CAST(a.attname AS text) FROM unnest(f.confkey) WITH ORDINALITY k(number, place) "
    "JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number ORDER BY place) AS to_columns "
    "FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "CROSS JOIN LATERAL (SELECT f.confrelid AS oid, false AS is_above "
    "UNION SELECT relid, false FROM pg_partition_tree(f.confrelid) "
    "UNION SELECT relid, true FROM pg_partition_ancestors(f.confrelid) WHERE relid <> f.confrelid) kin "
    "JOIN pg_class t ON t.oid = kin.oid JOIN pg_namespace tn ON tn.oid = t.relnamespace "
    "WHERE f.contype = 'f' AND f.conparentid = 0 ORDER BY n.nspname, c.relname, f.oid, tn.nspname, t.relname"
)
_HIDDEN = "HIDDEN"
_RULES = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: `columns` of one table refer to `to_columns` of another one.

    Attributes:
        part: the only partition of the other table to which it refers; empty: to all of it.
        is_kin: both are parts of one partitioned table.
    """

    schema: str | None
    table: str
    columns: tuple[str, ...]
    to_columns: tuple[str, ...]
    on_delete: str
    part: str = ""
    is_kin: bool = False

    @property
    def cascades(self) -> bool:
        """Whether its rows go by themselves, or may: MySQL hides the rule from users who may only read the table."""
        return self.on_delete in ("CASCADE", _HIDDEN)

    @property
    def rule(self) -> str:
        """What happens to its rows, for people."""
        return f"ON DELETE {self.on_delete}" if self.on_delete != _HIDDEN else "or stop it: MySQL hides its ON DELETE"

    @property
    def empties(self) -> bool:
        """Whether the database takes the reference away when its row goes: nothing stands in the way then."""
        return self.on_delete in ("SET NULL", "SET DEFAULT")

    @property
    def shown(self) -> str:
        """The name of the table that refers."""
        return f"{self.schema}.{self.table}" if self.schema else self.table


def read_references(connection: Connection, named: Named) -> Mapping[Place, list[Reference]]:
    """Return all references, by the tables to which they refer. `named` makes None of the connection's own schema."""
    found: dict[Place, list[Reference]] = {}
    readers = {"sqlite": _of_sqlite, "postgresql": _of_postgres}
    for to, reference in readers.get(connection.dialect.name, _of_mysql)(connection, named):
        found.setdefault(to, []).append(reference)
    return found


def _of_sqlite(connection: Connection, _: Named) -> Iterator[tuple[Place, Reference]]:
    for rows in _grouped(connection.execute(_OF_SQLITE).all(), "table", "number"):
        one = rows[0]
        yield (None, str(one.to_table)), _reference(None, str(one.table), rows)


def _of_mysql(connection: Connection, named: Named) -> Iterator[tuple[Place, Reference]]:
    for rows in _grouped(connection.execute(_OF_MYSQL).all(), "schema", "table", "number"):
        one = rows[0]
        yield (named(str(one.to_schema)), str(one.to_table)), _reference(named(str(one.schema)), str(one.table), rows)


def _of_postgres(connection: Connection, named: Named) -> Iterator[tuple[Place, Reference]]:
    for one in connection.execute(_OF_POSTGRES):
        on_delete = one.on_delete.decode() if isinstance(one.on_delete, bytes) else one.on_delete
        yield (
            (named(str(one.to_schema)), str(one.to_table)),
            Reference(
                named(str(one.schema)),
                str(one.table),
                tuple(one.columns),
                tuple(one.to_columns),
                _RULES[on_delete],
                str(one.part),
                bool(one.is_kin),
            ),
        )


def _grouped(rows: Sequence[Row[Any]], *names: str) -> Iterator[list[Row[Any]]]:
    for _, group in groupby(rows, key=lambda row: [getattr(row, name) for name in names]):
        yield list(group)


def _reference(schema: str | None, table: str, rows: list[Row[Any]]) -> Reference:
    columns, to_columns = (tuple(str(getattr(row, name)) for row in rows) for name in ("column", "to_column"))
    return Reference(schema, table, columns, to_columns, str(rows[0].on_delete).upper())
