"""A worker is killed in the middle of a sync: another one goes on where the last commit was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.families.sync import SyncFamily, SyncSettings
from tests.support.fixtures import LEASE, StartWorker
from tests.support.sync_jobs import EACH, PAGES, definition
from tests.support.waiting import eventually


@pytest.fixture
def client(broker_url: str, tmp_path: Path, other_url: str) -> Celeriac:
    app = Celeriac("shop", settings=Settings(broker_url=SecretStr(broker_url), data_dir=tmp_path, lease=LEASE))
    family = app.include_family(SyncFamily, SyncSettings(sync_connections={"main": SecretStr(other_url)}))
    family.add(definition({"name": "orders", "primary_key": "id"}, {"name": "log", "mode": "append"}))
    return app


async def test_killed_at_page_70_it_goes_on_at_70_in_a_new_worker(
    client: Celeriac, start: StartWorker, tmp_path: Path, other_url: str
) -> None:
    family = client.family(SyncFamily)
    database = family.connections.get("main")
    environment = {"CELERIAC_SYNC_CONNECTIONS": f"main={other_url}", "SYNC_TEST_FOLDER": str(tmp_path)}

    def start_one(**more: str) -> Any:
        return start("-", pool="asyncio", application="tests.support.sync_main", environment={**environment, **more})

    async def committed() -> int:
        rows = await database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM orders").scalar_one())
        return int(rows)

    first = start_one(SYNC_TEST_STOPS_AT="70")
    handle = await family.job.enqueue(sync="shop")
    asked = tmp_path / "asked"
    await eventually(lambda: asked.exists() and "70\n" in asked.read_text())
    await eventually(lambda: _is(committed, 70 * EACH))
    first.kill()

    start_one()
    result = await handle.result(timeout=60)
    assert result.streams["orders"].pages == PAGES
    assert result.streams["orders"].received == result.streams["orders"].written == PAGES * EACH
    pages = [int(line) for line in asked.read_text().split()]
    assert pages == [*range(71), *range(70, PAGES), *range(PAGES)]
    for table in ("orders", "log"):  # nothing keeps a row of the log from being there twice, but the commits
        query = f"SELECT count(*), count(DISTINCT id), min(id), max(id) FROM {table}"
        rows = await database.read(lambda c, q=query: tuple(c.exec_driver_sql(q).one()))
        assert rows == (PAGES * EACH, PAGES * EACH, 0, PAGES * EACH - 1)
    await family.connections.dispose()
    await client.client.aclose()


async def _is(look: Callable[[], Any], expected: int) -> bool:
    return await look() == expected
