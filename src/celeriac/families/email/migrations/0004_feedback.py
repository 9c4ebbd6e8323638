"""Addresses that get no more mail, bounces and complaints, and the list that a mailing belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "celeriac_email_suppression",
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("list_name", sa.String(100), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", "list_name", name="pk_celeriac_email_suppression"),
    )
    op.create_table(
        "celeriac_email_feedback",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("mailing_id", sa.String(128)),
        sa.Column("position", sa.Integer()),
        sa.Column("status", sa.String(16)),
        sa.Column("diagnostic", sa.Text()),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_celeriac_email_feedback"),
    )
    op.create_index("ix_celeriac_email_feedback_mailing_id_kind", "celeriac_email_feedback", ["mailing_id", "kind"])
    op.add_column("celeriac_email_mailing", sa.Column("list_name", sa.String(100)))
    op.add_column("celeriac_email_recipient", sa.Column("cause", sa.String(12)))


def downgrade() -> None:
    op.drop_column("celeriac_email_recipient", "cause")
    op.drop_column("celeriac_email_mailing", "list_name")
    op.drop_table("celeriac_email_feedback")
    op.drop_table("celeriac_email_suppression")
