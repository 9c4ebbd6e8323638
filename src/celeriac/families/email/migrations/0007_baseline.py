"""The outcomes that a mailing had when somebody resumed it after it had stopped."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("celeriac_email_mailing", sa.Column("baseline", sa.JSON()))


def downgrade() -> None:
    op.drop_column("celeriac_email_mailing", "baseline")
