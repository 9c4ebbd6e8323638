from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.support.cleanup_shop import Shop
from tests.support.databases import mariadb_server, other, other_url, postgres_server

__all__ = ["mariadb_server", "other", "other_url", "postgres_server"]


@pytest.fixture
async def shop(other_url: str, tmp_path: Path) -> AsyncGenerator[Shop]:
    """A shop on each kind of database."""
    shop = Shop(other_url, tmp_path / "archives")
    yield shop
    await shop.database.dispose()
