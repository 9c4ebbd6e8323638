"""Takes a partition out of its table, and drops it: what is said to Postgres, and how long that may wait for locks."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from celeriac.database.engine import Database
from celeriac.families.cleanup import partitions_records as kept
from celeriac.families.cleanup import records
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.partitions import OLDEST_VERSION
from celeriac.families.cleanup.partitions_records import UnderWay
from celeriac.families.cleanup.partitions_rows import PartitionRows, name_of_oid
from celeriac.families.cleanup.records import Entry

#: How long a statement waits for a lock. The first stops nobody who comes after it; the second does.
_GENTLE_WAIT_MS, _BRIEF_WAIT_MS = 5000, 200
_MOST_COUNTED = 2**31 - 1
_IN_TREE = text("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = CAST(:oid AS oid)")


def check_version(connection: Connection) -> None:
    """
    Raises:
        TableRefused: the server is too old.
    """
    if int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) < OLDEST_VERSION:
        raise TableRefused("partitions are detached from Postgres 14 on: leave `partitions` out")


def name_now(connection: Connection, one: UnderWay) -> TableName:
    """Return its name now. What was created under its old name is another table.

    Raises:
        TableRefused: it is gone.
    """
    found = name_of_oid(connection, one.oid)
    if found is None:
        raise TableRefused(f"somebody else has dropped {one.step}")
    return found


async def detach(database: Database, one: UnderWay) -> None:
    """Take it out of its table, or finish doing so.

    Raises:
        LockTimedOut: others use it.
        TableRefused: it is gone.
    """
    is_half = await database.read(lambda c: c.execute(_IN_TREE, {"oid": one.oid}).scalar())
    if is_half is None:
        return
    if is_half:
        await database.outside(lambda c: _alter(c, one, " FINALIZE"))
    elif await database.read(lambda c: kept.has_default(c, one.parent)):
        # With a default partition, Postgres detaches only while nobody uses the table: wait briefly for that.
        await database.write(lambda c: _alter(c, one, ""))
    else:
        await database.outside(lambda c: _alter(c, one, " CONCURRENTLY"))


def _alter(connection: Connection, one: UnderWay, how: str) -> None:
    patience = _GENTLE_WAIT_MS if how else _BRIEF_WAIT_MS
    connection.exec_driver_sql(f"SET {'SESSION' if how else 'LOCAL'} lock_timeout = {patience}")
    try:
        parent, own = one.parent.quoted(connection), name_now(connection, one).quoted(connection)
        connection.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {own}{how}"))
    finally:
        if how:
            with suppress(SQLAlchemyError):  # the connection may be gone
                connection.exec_driver_sql("RESET lock_timeout")


def drop(connection: Connection, one: UnderWay, policy: str, run_id: str, chunk_rows: int | None) -> int | None:
    """Drop it if its rows are those that are archived, and return how many; None: they are not. The audit has it.

    `chunk_rows` is how many rows are read at a time; None: its rows are not archived.

    Raises:
        LockTimedOut: others use it.
        TableRefused: it is gone.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_GENTLE_WAIT_MS}")
    table = name_now(connection, one)
    name = table.quoted(connection)
    connection.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
    sql = f"DROP TABLE {name}"
    sha256 = hashlib.sha256(sql.encode()).hexdigest()
    if chunk_rows is None:
        rows = int(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one())  # noqa: S608 (quoted name)
        records.write_entry(connection, run_id, _entry(connection, one, run_id, rows, sha256))
    else:
        rows, digest = PartitionRows.of(connection, one.oid, table, chunk_rows).digest(connection, table)
        if (rows, digest) != (one.rows, one.digest):
            return None
        kept.to_audit(connection, policy, one, run_id, sha256)
    connection.execute(text(sql))
    kept.forget(connection, policy, one.oid)
    return rows


def _entry(connection: Connection, one: UnderWay, run_id: str, rows: int, sha256: str) -> Entry:
    number = records.next_number(connection, run_id)
    return Entry(number, one.step[:512], "delete", min(rows, _MOST_COUNTED), "[]", "[]", sha256)
