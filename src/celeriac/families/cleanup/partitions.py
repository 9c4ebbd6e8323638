"""Finds the partitions of a table in Postgres, and which of them are wholly older than a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import TableRefused

#: Partitions are detached without stopping others from this version on.
OLDEST_VERSION = 140_000
_UNBOUND = frozenset({"MINVALUE", "MAXVALUE"})

_TABLE = text(
    "SELECT c.oid, c.relkind = 'p' AS is_partitioned, p.partstrat = 'r' AS by_range, a.attname AS column_name, "
    "format_type(a.atttypid, a.atttypmod) AS type, array_length(CAST(p.partattrs AS int[]), 1) AS width "
    "FROM pg_class c LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid "
    "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = (CAST(p.partattrs AS int[]))[0] "
    "WHERE c.oid = to_regclass(:name)"
)
_PARTITIONS = text(
    "SELECT c.oid, n.nspname AS schema, c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound, "
    "c.relkind = 'p' AS is_partitioned, i.inhdetachpending AS is_half_detached "
    "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE i.inhparent = CAST(:oid AS oid) ORDER BY c.oid"
)


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition. `first` and `last` are its bounds in the age column, as texts; None: without end, or not by that."""

    oid: int
    table: TableName
    parent: TableName
    first: str | None
    last: str | None
    is_default: bool
    is_partitioned: bool
    is_half_detached: bool


@dataclass(frozen=True, slots=True)
class Partitions:
    """All partitions of a table, on all levels. `type` is that of their bounds; None: they go by other columns."""

    table: TableName
    column: str | None
    found: Sequence[Partition]
    type: str | None

    def wholly_older(self, connection: Connection, cutoff: Any) -> list[Partition]:
        """Return the partitions into which no row can come that is not older than that, the oldest first.

        Raises:
            TableRefused: the table is not divided by the age column.
        """
        if self.type is None:
            other = ", or write `partitions: chunk`" if self.found else ""
            raise TableRefused(
                f"{self.table} has no partitions by ranges of {self.column!r}: leave `partitions` out{other}"
            )
        return self._chosen(connection, cutoff, [one for one in self.found if one.last is not None], "last", "<=")

    def partly_older(self, connection: Connection, cutoff: Any) -> list[Partition]:
        """Return the partitions that may have rows older than that. First those whose bounds are known, by these."""
        leaves = self.leaves
        bound = [one for one in leaves if one.first is not None]
        others = [one for one in leaves if one.first is None]
        return [*self._chosen(connection, cutoff, bound, "first", "<"), *others]

    @property
    def leaves(self) -> list[Partition]:
        """Those that hold rows themselves."""
        return [one for one in self.found if not one.is_partitioned]

    def _chosen(
        self, connection: Connection, cutoff: Any, partitions: Sequence[Partition], end: str, comparison: str
    ) -> list[Partition]:
        """Compare as the database does: it knows the type of the bounds."""
        if not partitions or self.type is None:
            return []
        kind = self.type.replace(":", "\\:")
        sql = (
            f"SELECT place FROM unnest(CAST(:bounds AS text[])) WITH ORDINALITY AS b(bound, place) "  # noqa: S608
            f"WHERE CAST(bound AS {kind}) {comparison} CAST(:cutoff AS {kind}) ORDER BY CAST(bound AS {kind}), place"
        )
        bounds = [getattr(one, end) for one in partitions]
        places = connection.execute(text(sql), {"bounds": bounds, "cutoff": cutoff}).scalars()
        return [partitions[place - 1] for place in places]


def find_partitions(connection: Connection, table: TableName, column: str | None) -> Partitions:
    """Find the partitions of a table, and their bounds in the age column.

    Raises:
        TableRefused: it is not in Postgres.
    """
    if connection.dialect.name != "postgresql":
        raise TableRefused(f"{table}: `partitions` needs Postgres")
    kinds: list[str] = []
    found = list(_walk(connection, table, column, kinds))
    return Partitions(table, column, found, kinds[0] if kinds else None)


def _walk(
    connection: Connection, table: TableName, column: str | None, kinds: list[str], from_above: str | None = None
) -> Iterator[Partition]:
    name = table.quoted(connection).replace("\\:", ":")
    described = connection.execute(_TABLE, {"name": name}).one_or_none()
    if described is None or not described.is_partitioned:
        return
    is_by_age = described.by_range and described.column_name == column
    if is_by_age:
        kinds.append(str(described.type))
    for one in connection.execute(_PARTITIONS, {"oid": described.oid}).all():
        own = TableName(str(one.schema), str(one.name))
        is_default = one.bound == "DEFAULT"
        first, last = _bounds(str(one.bound), described.width) if is_by_age and not is_default else (None, None)
        first = first or from_above  # a part of an old partition has no older rows than that
        yield Partition(
            int(one.oid), own, table, first, last, is_default, bool(one.is_partitioned), bool(one.is_half_detached)
        )
        if one.is_partitioned:
            yield from _walk(connection, own, column, kinds, first)


def _bounds(bound: str, width: int) -> tuple[str | None, str | None]:
    """Read `FOR VALUES FROM ('…', …) TO ('…', …)`, as Postgres writes it. Only the first column counts.

    With several columns, a row may have the first one's upper bound itself. Such a bound says nothing for sure.
    """
    values = list(_values(bound))
    first, last = values[0], values[width]
    return (None if first in _UNBOUND else first), (None if last in _UNBOUND or width > 1 else last)


def _values(bound: str) -> Iterator[str]:
    """Yield the values between the brackets. Texts are quoted, with quotes doubled; numbers are not."""
    rest = bound
    while "(" in rest:
        rest = rest.partition("(")[2]
        while True:
            rest = rest.lstrip(" ,")
            if rest.startswith(")"):
                break
            if rest.startswith("'"):
                value, rest = _quoted(rest[1:])
            else:
                end = min(at for at in (rest.find(","), rest.find(")")) if at >= 0)
                value, rest = rest[:end].strip(), rest[end:]
            yield value


def _quoted(rest: str) -> tuple[str, str]:
    parts: list[str] = []
    while True:
        part, _, rest = rest.partition("'")
        parts.append(part)
        if not rest.startswith("'"):
            return "'".join(parts), rest
        rest = rest[1:]
