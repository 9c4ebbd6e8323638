"""The files that a mailing has as attachments."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("celeriac_email_mailing", sa.Column("attachments", sa.JSON()))


def downgrade() -> None:
    op.drop_column("celeriac_email_mailing", "attachments")
