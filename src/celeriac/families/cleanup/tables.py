"""The tables of cleanup. They are in the databases that are cleaned, so that they change together with the rows.

Times are milliseconds since the epoch, by the database's clock.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from celeriac.database.leases import lease_columns
from celeriac.database.tables import metadata

#: Who works on a policy. `position` is the key of the last row that was looked at, in JSON; NULL: the next run begins
#: at the first row. It counts only for the policy with this `digest`.
lock_table = Table(
    "celeriac_cleanup_lock",
    metadata,
    Column("policy", String(64), primary_key=True),
    *lease_columns(),
    Column("paused", Boolean, nullable=False, default=False),
    Column("position", Text),
    Column("digest", String(64), nullable=False, default=""),
)

#: One run, which has the id of its job. `kind` is `clean`, or `restore` for one that puts rows back. `cutoff` is the
#: moment that counts as now for it. `sql` has its statements, or what was asked to be restored.
run_table = Table(
    "celeriac_cleanup_run",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("policy", String(64), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("who", String(200), nullable=False),
    Column("state", String(10), nullable=False),
    Column("cutoff", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sql", Text, nullable=False),
    Column("error", Text),
    Column("milliseconds", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "policy", "started_at"),
)

#: The audit: one chunk, written by the transaction that changed its rows. Rows of an archive's file are archived if a
#: chunk here has their place in the file; all others are still in their table.
chunk_table = Table(
    "celeriac_cleanup_chunk",
    metadata,
    Column("run_id", String(128), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", String(512), nullable=False),
    Column("action", String(10), nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("first_key", Text, nullable=False),
    Column("last_key", Text, nullable=False),
    Column("sql_sha256", String(64), nullable=False),
    Column("file", Text),
    Column("file_offset", BigInteger),
    Column("file_length", BigInteger),
    Column("file_sha256", String(64)),
    Column("at", BigInteger, nullable=False),
)
