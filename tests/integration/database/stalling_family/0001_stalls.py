"""Makes a table, and stays where it is if it is told to: so that it can be killed there."""

import os
import signal
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("celeriac_stalling_thing", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("INSERT INTO celeriac_stalling_thing VALUES (1)")
    if note := os.environ.get("STALLS_AT"):
        Path(note).touch()
        signal.pause()
