"""Partitions that are being detached."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "celeriac_cleanup_partition",
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("oid", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("schema_name", sa.String(128), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("parent_schema", sa.String(128)),
        sa.Column("parent_name", sa.String(128), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("policy", "oid", name="pk_celeriac_cleanup_partition"),
        if_not_exists=True,
    )
    op.create_table(
        "celeriac_cleanup_partition_chunk",
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("oid", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("first_key", sa.Text(), nullable=False),
        sa.Column("last_key", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("file_offset", sa.BigInteger(), nullable=False),
        sa.Column("file_length", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("policy", "oid", "number", name="pk_celeriac_cleanup_partition_chunk"),
        if_not_exists=True,
    )
