"""Mailings and their recipients."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "celeriac_email_mailing",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("html", sa.Text()),
        sa.Column("text", sa.Text()),
        sa.Column("list_unsubscribe", sa.Text()),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_celeriac_email_mailing"),
    )
    op.create_table(
        "celeriac_email_recipient",
        sa.Column("mailing_id", sa.String(128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("message_id", sa.Text()),
        sa.Column("claim", sa.String(32)),
        sa.Column("claim_expires_at", sa.BigInteger()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mailing_id", "position", name="pk_celeriac_email_recipient"),
        sa.ForeignKeyConstraint(
            ["mailing_id"],
            ["celeriac_email_mailing.id"],
            name="fk_celeriac_email_recipient_mailing_id",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'sent', 'failed')", name="ck_celeriac_email_recipient_status"
        ),
    )
    op.create_index(
        "ix_celeriac_email_recipient_mailing_id_status", "celeriac_email_recipient", ["mailing_id", "status"]
    )


def downgrade() -> None:
    op.drop_table("celeriac_email_recipient")
    op.drop_table("celeriac_email_mailing")
