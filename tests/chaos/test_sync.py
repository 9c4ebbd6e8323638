"""Workers are killed at random points of a sync over HTTP whose API fails at random: each record is there once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.families.sync import SyncFamily, SyncSettings
from tests.support.databases import mariadb_server, other_url, postgres_server
from tests.support.fixtures import LEASE, StartWorker
from tests.support.sync_api import order, sync_api
from tests.support.waiting import eventually

__all__ = ["mariadb_server", "other_url", "postgres_server"]
pytestmark = pytest.mark.slow

#: A job whose worker vanishes five times is a dead letter.
RECORDS, KILLS = 6000, 4
DEFINITION = """
name: shop
source: {{url: "http://127.0.0.1:{port}", backoff: 0.01, attempts: 20}}
streams:
  - name: orders
    primary_key: id
    cursor: updated_at
    http: {{path: next_url/orders, records: items, pagination: {{type: next_url, path: paging.next}}}}
  - name: log
    mode: append
    http: {{path: link/orders}}
  - name: snapshot
    mode: full_refresh
    primary_key: id
    http: {{path: page/orders, pagination: {{type: page}}}}
destination: {{connection: main}}
"""


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_again_and_again_each_record_is_there_once(
    broker_url: str, start: StartWorker, tmp_path: Path, other_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    async with sync_api(orders=[order(n) for n in range(1, RECORDS + 1)], page_size=20, faults=0.02, seed=seed) as api:
        folder = tmp_path / "syncs"
        folder.mkdir()
        (folder / "shop.yaml").write_text(DEFINITION.format(port=api.port))
        settings = Settings(broker_url=SecretStr(broker_url), data_dir=tmp_path, lease=LEASE)
        client = Celeriac("shop", settings=settings)
        own = SyncSettings(sync_connections={"main": SecretStr(other_url)}, sync_folder=folder)
        family = client.include_family(SyncFamily, own)
        handle = await family.job.enqueue(sync="shop")
        environment = {"CELERIAC_SYNC_CONNECTIONS": f"main={other_url}", "CELERIAC_SYNC_FOLDER": str(folder)}
        pages = 3 * RECORDS // 20
        for point in sorted(chance.sample(range(pages), KILLS)):
            worker = start("-", pool="asyncio", application="tests.support.sync_plain_main", environment=environment)
            await eventually(lambda point=point: len(api.requests) > point)
            worker.kill()
        start("-", pool="asyncio", application="tests.support.sync_plain_main", environment=environment)
        result = await handle.result(timeout=100)
        database = family.connections.get("main")
        for table in ("orders", "log", "snapshot"):
            counts = result.streams[table]
            assert (counts.received, counts.written, counts.rejected) == (RECORDS, RECORDS, 0), table
            query = f"SELECT count(*), count(DISTINCT id), min(id), max(id) FROM {table}"
            rows = await database.read(lambda c, q=query: tuple(c.exec_driver_sql(q).one()))
            assert rows == (RECORDS, RECORDS, 1, RECORDS), table
        await family.connections.dispose()
        await client.client.aclose()
