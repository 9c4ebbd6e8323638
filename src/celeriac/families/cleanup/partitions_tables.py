"""The tables for partitions that are being detached. What is done with is in the audit, like all else."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from celeriac.database.tables import metadata

#: A partition that is under way. `oid` is what Postgres calls it, whatever its name becomes. `digest` is the sum of the
#: hashes of its rows that are archived, and `position` says which these are. `round` grows when they had changed.
partition_table = Table(
    "celeriac_cleanup_partition",
    metadata,
    Column("policy", String(64), primary_key=True),
    Column("oid", BigInteger, primary_key=True, autoincrement=False),
    Column("schema_name", String(128), nullable=False),
    Column("name", String(128), nullable=False),
    Column("parent_schema", String(128)),
    Column("parent_name", String(128), nullable=False),
    Column("state", String(10), nullable=False),
    Column("round", Integer, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("position", Text, nullable=False),
)

#: A chunk of it that is archived. It becomes an entry of the audit in the transaction that drops the partition.
partition_chunk_table = Table(
    "celeriac_cleanup_partition_chunk",
    metadata,
    Column("policy", String(64), primary_key=True),
    Column("oid", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True),
    Column("row_count", Integer, nullable=False),
    Column("first_key", Text, nullable=False),
    Column("last_key", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("file_offset", BigInteger, nullable=False),
    Column("file_length", BigInteger, nullable=False),
    Column("file_sha256", String(64), nullable=False),
)
