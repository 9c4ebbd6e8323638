"""A sync through the whole stack, while its worker, the API and the database's connections are killed at random.

Afterwards each record must be there once, in each table, the counts must say so, and the cursor must be the last one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from celeriac.database.engine import Database
from tests.chaos.test_sync import DEFINITION
from tests.support.databases import postgres_server
from tests.support.postgres import PostgresServer
from tests.support.running import Running, running
from tests.support.sync_api import SyncApi, order, sync_api
from tests.support.syncs import ENDED
from tests.support.waiting import eventually

__all__ = ["postgres_server"]

PAGE, STREAMS = 20, ("orders", "log", "snapshot")
SEED = int(os.environ.get("CHAOS_SEED", random.randrange(2**32)))
#: A job whose worker vanishes five times is a dead letter.
MOST_WORKERS = 4


def processes(port: int, *, listening: bool) -> Iterator[int]:
    """Those that listen at a port of this machine, or are connected to it; without this one."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for one in process.net_connections("tcp"):
                place = one.laddr if listening else one.raddr
                if place and place.port == port and (one.status == psutil.CONN_LISTEN) is listening:
                    if process.pid != os.getpid():
                        yield process.pid
                    break


class Chaos:
    """Kills one thing at a time."""

    def __init__(self, api: str, shop: SyncApi, database: Database) -> None:
        self._api_port = int(api.rpartition(":")[2])
        self._shop = shop
        self._database = database
        self.done: list[str] = []

    async def strike(self, what: str) -> None:
        self.done.append(what)
        match what:
            case "worker":
                await eventually(lambda: self._kill(processes(self._shop.port, listening=False)), "a worker reads")
            case "api":
                await eventually(lambda: self._kill(processes(self._api_port, listening=True)), "the API listens")
            case _:
                await self._database.write(lambda c: c.exec_driver_sql(CUT).fetchall())

    def _kill(self, pids: Iterator[int]) -> bool:
        killed = False
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed = True
        return killed


CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def stack(folder: Path, shop: SyncApi, url: str) -> AsyncGenerator[tuple[Running, str]]:
    """Everything, with the sync `shop`, and where its API is."""
    definitions = folder / "syncs"
    definitions.mkdir()
    (definitions / "shop.yaml").write_text(DEFINITION.format(port=shop.port))
    variables = {"CELERIAC_SYNC_CONNECTIONS": f"main={url}", "CELERIAC_SYNC_FOLDER": str(definitions)}
    options = ["--data-dir", str(folder / "data"), "--port", "0", "--no-flower", "--no-beat"]
    async with running(["-m", "celeriac", "up", *options], environment=variables, cwd=folder) as program:
        await program.printed(r"celeriac \| ready in")
        yield program, json.loads((folder / "data" / "stack.json").read_text())["api"]


async def answered(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> Any:
    """The answer to a request, as soon as the API is there to give one."""

    async def ask() -> httpx2.Response | None:
        with contextlib.suppress(httpx2.TransportError):
            response = await client.request(method, path, **options)
            return None if response.status_code == 503 else response
        return None

    response = await eventually(ask, f"{method} {path} is answered")
    assert response.is_success, response.text
    return response.json()


async def check(shop: SyncApi, database: Database, client: httpx2.AsyncClient, job: str) -> None:
    count = len(shop.orders)
    run = await answered(client, "GET", f"/sync/runs/{job}")
    (state,) = [
        one for one in (await answered(client, "GET", "/sync/syncs/shop/state"))["streams"] if one["stream"] == "orders"
    ]
    assert (run["state"], state["phase"], state["cursor"]) == ("done", "idle", shop.orders[-1]["updated_at"])
    for stream in STREAMS:
        counted = run["streams"][stream]
        assert (counted["in"], counted["written"], counted["rejected"]) == (count, count, 0), stream
        query = f"SELECT count(*), count(DISTINCT id), min(id), max(id) FROM {stream}"
        rows = await database.read(lambda c, q=query: tuple(c.exec_driver_sql(q).one()))
        assert rows == (count, count, 1, count), stream


async def outlast(folder: Path, url: str, *, records: int, seed: int, strikes: list[str]) -> None:
    print(f"CHAOS_SEED={seed}")
    dice = random.Random(seed)
    dice.shuffle(strikes)
    orders = [order(number) for number in range(1, records + 1)]
    database = Database(url, is_ours=False)
    async with (
        sync_api(orders=orders, page_size=PAGE, faults=0.02, seed=seed) as shop,
        stack(folder, shop, url) as (program, api),
        httpx2.AsyncClient(base_url=api, timeout=60) as client,
    ):
        reading = asyncio.create_task(program.ended(within=600))  # else its output fills the pipe
        chaos = Chaos(api, shop, database)
        key = {"Idempotency-Key": "once"}
        job = (await answered(client, "POST", "/sync/syncs/shop/runs", json={}, headers=key))["id"]
        pages = len(STREAMS) * records // PAGE
        for point, strike in zip(sorted(dice.sample(range(pages * 9 // 10), len(strikes))), strikes, strict=True):
            await eventually(lambda point=point: len(shop.requests) > point, f"page {point} is asked for")
            with shop.holding():  # else the sync may be over before the next victim is there
                await chaos.strike(strike)

        async def has_ended() -> bool:
            return (await answered(client, "GET", f"/jobs/{job}"))["state"] in ENDED

        await eventually(has_ended, f"the sync has ended, after {chaos.done}:\n" + "\n".join(program.lines[-20:]))
        await check(shop, database, client, job)
        again = await answered(client, "POST", "/sync/syncs/shop/runs", json={}, headers=key)
        assert again["id"] == job
        await database.dispose()
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


async def test_a_sync_outlasts_its_worker_and_the_api(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    sqlite3.connect(file).close()
    await outlast(tmp_path, f"sqlite:///{file}", records=1000, seed=SEED, strikes=["worker", "api"])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
async def test_a_sync_outlasts_whatever_is_killed(tmp_path: Path, postgres_server: PostgresServer, number: int) -> None:
    strikes = [*["worker"] * MOST_WORKERS, *["api"] * 2, *["connections"] * 3]
    url = await postgres_server.create_database()
    await outlast(tmp_path, url, records=6000, seed=SEED + number, strikes=strikes)
