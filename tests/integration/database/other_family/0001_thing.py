"""A table of a family that exists in tests alone."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("celeriac_other_thing", sa.Column("id", sa.Integer(), primary_key=True))
