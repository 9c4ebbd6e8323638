"""Demo of syncs: 100,000 orders of an API that fails now and then, and a worker that is killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx2
import psutil
from rich.console import Console

from celeriac.core import codec
from celeriac.demo import PATIENCE_S, Demo, DemoFailed, Outcome, client_of, follow
from celeriac.families.sync.demo.orders import order

_DEFINITION = """
    name: shop
    source:
      url: {url}
      pagination: {{type: cursor, from_body: next, to_param: after}}
      records: orders
    streams:
      - name: orders
        primary_key: id
        cursor: updated_at
        http: {{path: orders}}
    destination: {{connection: demo}}
"""


class SyncDemo(Demo):
    """A demo that reads an API into SQLite, kills the worker once, and compares each row with its record."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        usual = 100_000
        told = f"records of the API (default: {usual:,})"
        parser.add_argument("--records", type=_count, default=usual, metavar="N", help=told)

    def __init__(self, options: Namespace) -> None:
        self._records: int = options.records
        self._api = ""
        self._database = Path()

    @asynccontextmanager
    async def surroundings(self) -> AsyncGenerator[Mapping[str, str]]:
        with tempfile.TemporaryDirectory(prefix="celeriac-sync-demo-") as name:
            self._database = Path(name) / "orders.db"
            sqlite3.connect(self._database).close()
            definitions = Path(name) / "definitions"
            async with _shop(self._records) as self._api:
                await asyncio.to_thread(_write, definitions / "shop.yaml", dedent(_DEFINITION).format(url=self._api))
                yield {
                    "CELERIAC_SYNC_CONNECTIONS": f"demo=sqlite:///{self._database}",
                    "CELERIAC_SYNC_FOLDER": str(definitions),
                }

    async def run(self, api: str, console: Console) -> Outcome:
        async with client_of(api) as client, client_of(self._api) as shop:
            began = time.monotonic()
            job = await _submit(client)
            console.print(f"POST /sync/syncs/shop/runs → 202, job {job}")
            killing = asyncio.create_task(self._kill(shop, console))
            try:
                await follow(client, job, console, doing="reading", total=self._records, with_message=True)
                await killing
            finally:
                killing.cancel()
            seconds = time.monotonic() - began
            outcome = (await client.get(f"/jobs/{job}/result")).json()["result"]["streams"]["orders"]
            counts = (await shop.get("/counts")).json()
        rows, wrong = await asyncio.to_thread(_compare, self._database, self._records)
        return self._outcome(outcome, counts, rows, wrong, seconds)

    async def _kill(self, shop: httpx2.AsyncClient, console: Console) -> None:
        """Kill the process that reads when it has read half. The API holds the other half until it is gone."""
        counts = (await shop.get("/counts", params={"half": ""}, timeout=None)).json()
        try:
            pid = await asyncio.to_thread(_kill_client, counts["client_port"])
        finally:
            await shop.post("/go-on")
        console.print(f"worker process {pid} was killed (SIGKILL) after {counts['pages']:,} pages")

    def _outcome(
        self, outcome: Mapping[str, Any], counts: Mapping[str, Any], rows: int, wrong: int, seconds: float
    ) -> Outcome:
        faults = ", ".join(f"{number} with {fault}" for fault, number in sorted(counts["faults"].items()))
        counted = outcome["in"] == self._records == outcome["written"] + outcome["rejected"]
        return Outcome(
            ok=rows == self._records and not wrong and counted,
            summary=(
                f"{rows:,} of {self._records:,} records are rows, {wrong} of them wrong, after {seconds:.1f} s; "
                f"{counts['requests']:,} requests, of which some failed ({faults}); "
                f"{counts['repeated_pages']} pages asked for again (counted by the API)"
            ),
            seconds=seconds,
            facts={
                "records": self._records,
                "rows": rows,
                "rejected": outcome["rejected"],
                "requests": counts["requests"],
                "repeated_pages": counts["repeated_pages"],
            },
        )


@asynccontextmanager
async def _shop(records: int) -> AsyncGenerator[str]:
    """Run the API that is read in a process of its own. Yield its URL."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "celeriac.families.sync.demo.api", str(records)]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = await process.stdout.readline()
        if not line:
            raise DemoFailed(f"the API to read has ended with code {await process.wait()}")
        yield f"http://127.0.0.1:{int(line)}"
    finally:
        process.stdin.close()
        await process.wait()


async def _submit(client: httpx2.AsyncClient) -> str:
    response = await client.post("/sync/syncs/shop/runs", json={})
    if response.status_code != 202:
        raise DemoFailed(f"the API answered {response.status_code}: {response.text}")
    return str(response.json()["id"])


def _kill_client(port: int) -> int:
    """Kill the process that has a connection from `port` of this machine. Return its id when it is gone.

    Raises:
        DemoFailed: there is none, or it does not end.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(one.laddr.port == port and one.raddr for one in process.net_connections("tcp")):
                break
    else:
        raise DemoFailed("the process that reads was not found")
    try:
        process.kill()
        process.wait(PATIENCE_S)
    except psutil.TimeoutExpired:
        raise DemoFailed(f"process {process.pid} reads on, although it was killed") from None
    return int(process.pid)


def _compare(database: Path, records: int) -> tuple[int, int]:
    """Count the rows, and those that are not as the API's record of their id."""
    rows = wrong = 0
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        for expected, row in enumerate(connection.execute("SELECT * FROM orders ORDER BY id"), 1):
            rows += 1
            wrong += expected > records or _read(row) != order(expected)
    return rows, wrong


def _read(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row as the record that it was: SQLite keeps objects and lists as JSON, and booleans as numbers."""
    record = {name: row[name] for name in row.keys()}  # noqa: SIM118 (a row is none of its keys)
    for name in ("customer", "articles"):
        record[name] = codec.loads(record[name])
    record["is_paid"] = bool(record["is_paid"])
    return record


def _write(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)


def _count(text: str) -> int:
    number = int(text)
    if not 1000 <= number <= 10_000_000:
        raise ArgumentTypeError("between 1,000 and 10,000,000")
    return number
