"""The state of a mailing, how many recipients it has, and until when it is sent."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TABLE = "celeriac_email_mailing"


def upgrade() -> None:
    op.add_column(_TABLE, sa.Column("state", sa.String(10), nullable=False, server_default="sending"))
    op.add_column(_TABLE, sa.Column("recipients", sa.Integer(), nullable=False, server_default="0"))
    for name in ("send_at", "not_after", "sends_until"):
        op.add_column(_TABLE, sa.Column(name, sa.BigInteger()))
    op.add_column(_TABLE, sa.Column("fingerprint", sa.String(64)))
    op.execute(
        "UPDATE celeriac_email_mailing SET recipients = (SELECT count(*) FROM celeriac_email_recipient AS r "
        "WHERE r.mailing_id = celeriac_email_mailing.id)"
    )
    op.execute("UPDATE celeriac_email_mailing SET state = 'stopped' WHERE stopped IS NOT NULL")
    op.execute(
        "UPDATE celeriac_email_mailing SET state = 'done' WHERE ready AND NOT EXISTS (SELECT 1 "
        "FROM celeriac_email_recipient AS r WHERE r.mailing_id = celeriac_email_mailing.id "
        "AND r.status IN ('pending', 'sending'))"
    )


def downgrade() -> None:
    for name in ("fingerprint", "sends_until", "not_after", "send_at", "recipients", "state"):
        op.drop_column(_TABLE, name)
