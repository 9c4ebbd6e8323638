"""What is recorded of partitions that are being detached. All functions take a transaction's connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, literal, select, text, update

from celeriac.database.clock import now_ms
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.partitions import Partition
from celeriac.families.cleanup.partitions_tables import partition_chunk_table, partition_table
from celeriac.families.cleanup.records import next_number
from celeriac.families.cleanup.tables import chunk_table

_HAS_DEFAULT = text("SELECT partdefid <> 0 FROM pg_partitioned_table WHERE partrelid = to_regclass(:name)")
_p, _c = partition_table.c, partition_chunk_table.c

State = Literal["archiving", "detaching"]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A partition that is under way: what of it is archived."""

    oid: int
    table: TableName
    parent: TableName
    state: State
    round: int
    rows: int
    digest: int
    position: str

    @property
    def step(self) -> str:
        """What the audit calls it."""
        return str(self.table)


def under_way(connection: Connection, policy: str) -> list[UnderWay]:
    """Return the partitions of a policy that are under way, those first that were begun first."""
    query = select(partition_table).where(_p.policy == policy).order_by(_p.state.desc(), _p.oid)
    return [
        UnderWay(
            int(row.oid),
            TableName(row.schema_name, row.name),
            TableName(row.parent_schema, row.parent_name),
            row.state,
            row.round,
            int(row.row_count),
            int(row.digest),
            row.position,
        )
        for row in connection.execute(query)
    ]


def begin(connection: Connection, policy: str, partition: Partition, state: State) -> None:
    """Record that a partition is to go."""
    connection.execute(
        insert(partition_table),
        {
            "policy": policy,
            "oid": partition.oid,
            "schema_name": partition.table.schema,
            "name": partition.table.name,
            "parent_schema": partition.parent.schema,
            "parent_name": partition.parent.name,
            "state": state,
            "round": 1,
            "row_count": 0,
            "digest": "0",
            "position": "[]",
        },
    )


def advance(connection: Connection, policy: str, found: UnderWay) -> None:
    """Record how far a partition is."""
    connection.execute(
        update(partition_table)
        .where(_p.policy == policy, _p.oid == found.oid)
        .values(
            state=found.state,
            round=found.round,
            row_count=found.rows,
            digest=str(found.digest),
            position=found.position,
        )
    )


def add_member(connection: Connection, policy: str, oid: int, member: Member, first: str, last: str) -> None:
    """Record a chunk that is archived."""
    number = select(func.coalesce(func.max(_c.number), 0) + 1).where(_c.policy == policy, _c.oid == oid)
    connection.execute(
        insert(partition_chunk_table),
        {
            "policy": policy,
            "oid": oid,
            "number": connection.execute(number).scalar_one(),
            "row_count": member.rows,
            "first_key": first,
            "last_key": last,
            "file": member.file,
            "file_offset": member.offset,
            "file_length": member.length,
            "file_sha256": member.sha256,
        },
    )


def members(connection: Connection, policy: str, oid: int) -> Sequence[Member]:
    """Return what is archived of a partition, in order."""
    query = select(_c.file, _c.file_offset, _c.file_length, _c.row_count, _c.file_sha256)
    rows = connection.execute(query.where(_c.policy == policy, _c.oid == oid).order_by(_c.number))
    return [Member(*row) for row in rows]


def forget_members(connection: Connection, policy: str, oid: int) -> None:
    """Forget what is archived of a partition: its rows have changed since."""
    connection.execute(delete(partition_chunk_table).where(_c.policy == policy, _c.oid == oid))


def forget(connection: Connection, policy: str, oid: int) -> None:
    """Forget a partition that is gone."""
    forget_members(connection, policy, oid)
    connection.execute(delete(partition_table).where(_p.policy == policy, _p.oid == oid))


def has_default(connection: Connection, table: TableName) -> bool:
    """Return whether a table has a partition for all rows that fit no other one."""
    name = table.quoted(connection).replace("\\:", ":")
    return bool(connection.execute(_HAS_DEFAULT, {"name": name}).scalar())


def to_audit(connection: Connection, policy: str, found: UnderWay, run_id: str, sql_sha256: str) -> None:
    """Make what is archived of a partition entries of the audit."""
    before = next_number(connection, run_id) - 1
    now = connection.execute(select(now_ms())).scalar_one()
    entries = select(
        literal(run_id),
        _c.number + before,
        literal(found.step[:512]),
        literal("archive"),
        _c.row_count,
        _c.first_key,
        _c.last_key,
        literal(sql_sha256),
        _c.file,
        _c.file_offset,
        _c.file_length,
        _c.file_sha256,
        literal(now),
    ).where(_c.policy == policy, _c.oid == found.oid)
    columns = [column.name for column in chunk_table.columns]
    connection.execute(insert(chunk_table).from_select(columns, entries))
