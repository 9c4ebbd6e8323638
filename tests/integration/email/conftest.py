from collections.abc import AsyncGenerator

import pytest

from celeriac.database.engine import Database
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from tests.support.databases import database, database_url, postgres_server

__all__ = ["database", "database_url", "postgres_server"]


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
async def sink() -> AsyncGenerator[MailSink]:
    async with MailSink(keep_content=True) as sink:
        yield sink
