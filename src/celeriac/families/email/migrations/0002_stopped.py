"""Why a mailing was stopped before its end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("celeriac_email_mailing", sa.Column("stopped", sa.Text()))


def downgrade() -> None:
    op.drop_column("celeriac_email_mailing", "stopped")
