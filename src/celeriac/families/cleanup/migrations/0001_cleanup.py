"""Locks, runs and the audit.

Each table and index is created unless it exists: MySQL cannot take a part of a script back.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "celeriac_cleanup_lock",
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(128)),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Text()),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("policy", name="pk_celeriac_cleanup_lock"),
        if_not_exists=True,
    )
    op.create_table(
        "celeriac_cleanup_run",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("sql", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_celeriac_cleanup_run"),
        if_not_exists=True,
    )
    _index_runs()
    op.create_table(
        "celeriac_cleanup_chunk",
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(512), nullable=False),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("first_key", sa.Text(), nullable=False),
        sa.Column("last_key", sa.Text(), nullable=False),
        sa.Column("sql_sha256", sa.String(64), nullable=False),
        sa.Column("file", sa.Text()),
        sa.Column("file_offset", sa.BigInteger()),
        sa.Column("file_length", sa.BigInteger()),
        sa.Column("file_sha256", sa.String(64)),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_celeriac_cleanup_chunk"),
        if_not_exists=True,
    )


def _index_runs() -> None:
    table, name = "celeriac_cleanup_run", "ix_celeriac_cleanup_run_policy_started_at"
    if name not in [
        index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)
    ]:  # MySQL has no IF NOT EXISTS
        op.create_index(name, table, ["policy", "started_at"])
