"""Endpoints, events, deliveries and their attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "celeriac_webhooks_endpoint",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.Column("rate", sa.Float()),
        sa.Column("concurrency", sa.Integer()),
        sa.Column("fifo", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("failing_since", sa.BigInteger()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_celeriac_webhooks_endpoint"),
    )
    op.create_index("ix_celeriac_webhooks_endpoint_owner_id", "celeriac_webhooks_endpoint", ["owner", "id"])
    op.create_table(
        "celeriac_webhooks_event",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_celeriac_webhooks_event"),
        sa.UniqueConstraint("id", name="uq_celeriac_webhooks_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_celeriac_webhooks_event_created_at", "celeriac_webhooks_event", ["created_at"])
    _create_deliveries()


def _create_deliveries() -> None:
    op.create_table(
        "celeriac_webhooks_delivery",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("event_number", _NUMBER, nullable=False),
        sa.Column("endpoint_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_celeriac_webhooks_delivery"),
        sa.UniqueConstraint(
            "event_number", "endpoint_id", name="uq_celeriac_webhooks_delivery_event_number_endpoint_id"
        ),
        sa.ForeignKeyConstraint(
            ["event_number"],
            ["celeriac_webhooks_event.number"],
            name="fk_celeriac_webhooks_delivery_event_number",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["celeriac_webhooks_endpoint.id"],
            name="fk_celeriac_webhooks_delivery_endpoint_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_celeriac_webhooks_delivery_endpoint_id_state_event_number",
        "celeriac_webhooks_delivery",
        ["endpoint_id", "state", "event_number"],
    )
    op.create_index("ix_celeriac_webhooks_delivery_state_look_at", "celeriac_webhooks_delivery", ["state", "look_at"])
    op.create_table(
        "celeriac_webhooks_attempt",
        sa.Column("delivery_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("headers", sa.JSON()),
        sa.Column("excerpt", sa.Text()),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_celeriac_webhooks_attempt"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["celeriac_webhooks_delivery.id"],
            name="fk_celeriac_webhooks_attempt_delivery_id",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    for name in ("attempt", "delivery", "event", "endpoint"):
        op.drop_table(f"celeriac_webhooks_{name}")
