"""Reads the rows of a partition in the order in which they are stored, and compares them with what was read before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, text

from celeriac.core import codec
from celeriac.families.cleanup.archives_columns import reading, use_exact_texts
from celeriac.families.cleanup.archives_table import TableName, columns_of_table, quoted

#: Narrow rows are some hundred to a block. How many these really are shows with the first piece.
_ROWS_OF_BLOCK, _MOST_BLOCKS = 100, 1 << 16
_LEAVES = text(
    "SELECT c.oid, n.nspname AS schema, c.relname AS name, "
    "pg_relation_size(c.oid) / CAST(current_setting('block_size') AS bigint) AS blocks "
    "FROM pg_partition_tree(CAST(CAST(:oid AS oid) AS regclass)) t JOIN pg_class c ON c.oid = t.relid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf ORDER BY c.oid"
)
_ALONE = text(
    "SELECT c.oid, n.nspname AS schema, c.relname AS name, "
    "pg_relation_size(c.oid) / CAST(current_setting('block_size') AS bigint) AS blocks "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = CAST(:oid AS oid) AND c.relkind = 'r'"
)
_NAME = text(
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.oid = CAST(:oid AS oid)"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of some blocks, the sum of their hashes, and where to go on; None: there is no more."""

    rows: Sequence[tuple[Any, ...]]
    digest: int
    next: str | None


class PartitionRows:
    """The rows of one partition, with those of partitions of its own."""

    def __init__(self, oid: int, columns: Mapping[str, str], most_rows: int) -> None:
        self._oid = oid
        self._most_rows = most_rows
        self._blocks = max(1, most_rows // _ROWS_OF_BLOCK)
        self.columns = columns

    @classmethod
    def of(cls, connection: Connection, oid: int, table: TableName, most_rows: int) -> PartitionRows:
        """Look at its columns."""
        return cls(oid, columns_of_table(connection, table), most_rows)

    def piece(self, connection: Connection, position: str) -> Piece:
        """Read what comes next. Blocks need no index, and no key."""
        _settle(connection)
        oid = {"oid": self._oid}
        leaves = connection.execute(_ALONE, oid).all() or connection.execute(_LEAVES, oid).all()
        place = cast("list[int]", codec.loads(position)) or [0, 0]
        for leaf in leaves:
            start = place[1] if leaf.oid == place[0] else 0
            if leaf.oid < place[0] or start >= leaf.blocks:
                continue
            end = start + self._blocks
            rows = self._read(connection, TableName(leaf.schema, leaf.name), start, end)
            self._adapt(len(rows))
            return Piece([row[1:] for row in rows], sum(row[0] for row in rows), f"[{leaf.oid},{end}]")
        return Piece([], 0, None)

    def digest(self, connection: Connection, table: TableName) -> tuple[int, int]:
        """Return how many rows there are now, and the sum of their hashes."""
        _settle(connection)
        hashes = f"COALESCE(sum(CAST({self._hash(connection)} AS numeric)), 0)"
        sql = f"SELECT count(*), {hashes} FROM {table.quoted(connection)}"  # noqa: S608 (quoted names)
        count, digest = connection.execute(text(sql)).one()
        return int(count), int(digest)

    def _read(self, connection: Connection, leaf: TableName, start: int, end: int) -> list[tuple[Any, ...]]:
        read = ", ".join(reading(quoted(connection, name), kind, "postgresql") for name, kind in self.columns.items())
        sql = (
            f"SELECT {self._hash(connection)}, {read} FROM ONLY {leaf.quoted(connection)} "  # noqa: S608 (quoted names)
            "WHERE ctid >= CAST(CAST(:start AS text) AS tid) AND ctid < CAST(CAST(:end AS text) AS tid)"
        )
        found = connection.execute(text(sql), {"start": f"({start},0)", "end": f"({end},0)"})
        return list(map(tuple, found))

    def _hash(self, connection: Connection) -> str:
        names = ", ".join(quoted(connection, name) for name in self.columns)
        return f"hashtextextended(CAST(ROW({names}) AS text), 0)"

    def _adapt(self, rows: int) -> None:
        """Choose how many blocks the next piece has. Blocks may be full, or empty."""
        wanted = self._blocks * self._most_rows // rows if rows else 2 * self._blocks
        self._blocks = max(1, min(wanted, 4 * self._blocks, _MOST_BLOCKS))


def name_of_oid(connection: Connection, oid: int) -> TableName | None:
    """Return the name of a table now; None if it is gone."""
    row = connection.execute(_NAME, {"oid": oid}).one_or_none()
    return None if row is None else TableName(str(row[0]), str(row[1]))


def _settle(connection: Connection) -> None:
    use_exact_texts(connection)
    connection.exec_driver_sql("SELECT set_config('timezone', 'UTC', true)")  # the hashes depend on it
