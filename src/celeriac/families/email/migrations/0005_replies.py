"""What refusals meant, when a recipient is tried again, and when a mailing stops by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("celeriac_email_recipient", sa.Column("kind", sa.String(16)))
    op.add_column("celeriac_email_recipient", sa.Column("next_at", sa.BigInteger()))
    op.add_column("celeriac_email_mailing", sa.Column("stop_at", sa.JSON()))


def downgrade() -> None:
    op.drop_column("celeriac_email_mailing", "stop_at")
    op.drop_column("celeriac_email_recipient", "next_at")
    op.drop_column("celeriac_email_recipient", "kind")
