"""How many rows of a mailing were left out, as their address was in an earlier row."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("celeriac_email_mailing", sa.Column("left_out", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("celeriac_email_mailing", "left_out")
