"""Locks, states, runs, rejected records, parents and columns."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "celeriac_sync_lock",
        sa.Column("sync", sa.String(100), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(128)),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sync", name="pk_celeriac_sync_lock"),
    )
    op.create_table(
        "celeriac_sync_state",
        sa.Column("sync", sa.String(100), nullable=False),
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("parent", sa.String(64), nullable=False),
        sa.Column("phase", sa.String(8), nullable=False),
        sa.Column("pass", sa.String(64), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("done_run", sa.String(100), nullable=False),
        sa.Column("has_news", sa.Boolean(), nullable=False),
        sa.Column("place", sa.Text()),
        sa.Column("cursor", sa.Text()),
        sa.Column("pending", sa.Text()),
        sa.Column("counts", sa.Text()),
        sa.Column("kept", sa.Text()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sync", "stream", "parent", name="pk_celeriac_sync_state"),
    )
    op.create_table(
        "celeriac_sync_run",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("sync", sa.String(100), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("counts", sa.Text()),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_celeriac_sync_run"),
    )
    op.create_index("ix_celeriac_sync_run_sync_started_at", "celeriac_sync_run", ["sync", "started_at"])
    op.create_index("ix_celeriac_sync_run_started_at", "celeriac_sync_run", ["started_at"])
    _create_rejects()
    _create_parents_and_columns()


def _create_rejects() -> None:
    op.create_table(
        "celeriac_sync_reject",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("sync", sa.String(100), nullable=False),
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("run", sa.String(100), nullable=False),
        sa.Column("page", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_celeriac_sync_reject"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_celeriac_sync_reject_sync_number", "celeriac_sync_reject", ["sync", "number"])
    op.create_index("ix_celeriac_sync_reject_at", "celeriac_sync_reject", ["at"])


def _create_parents_and_columns() -> None:
    op.create_table(
        "celeriac_sync_parent",
        sa.Column("sync", sa.String(100), nullable=False),
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("pass", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sync", "stream", "key", name="pk_celeriac_sync_parent"),
    )
    op.create_table(
        "celeriac_sync_column",
        sa.Column("table", sa.String(200), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("is_fixed", sa.Boolean(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("table", "name", name="pk_celeriac_sync_column"),
    )


def downgrade() -> None:
    for name in ("lock", "state", "run", "reject", "parent", "column"):
        op.drop_table(f"celeriac_sync_{name}")
