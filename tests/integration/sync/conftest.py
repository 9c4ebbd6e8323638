from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.support.databases import mariadb_server, other_url, postgres_server
from tests.support.sync_jobs import SyncJobs

__all__ = ["mariadb_server", "other_url", "postgres_server"]


@pytest.fixture
async def syncs(tmp_path: Path, other_url: str) -> AsyncGenerator[SyncJobs]:
    """Syncs into an empty database, of each kind that there is."""
    jobs = SyncJobs(tmp_path / "own", {"main": other_url})
    yield jobs
    await jobs.close()
