"""Demo of cleanup: 1,000,000 of 1,200,000 orders are archived and deleted, while customers go on writing."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

from celeriac.demo import Demo, DemoFailed, Outcome, client_of, follow
from celeriac.families.cleanup.demo.shop import RECENT_OF, Counted, Customers, count, fill

_POLICY = """# Orders that nobody has changed for a year.
connection: shop
table: orders
where:
  age:
    column: changed_at
    older_than: 365d
action: archive
archive: csv.gz
"""
_POLICY_PATH = "/cleanup/policies/old-orders"


class CleanupDemo(Demo):
    """A demo that looks at what a policy would do, does it, and compares table and archive with what was there."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--orders", type=_count, default=1_200_000, metavar="N", help="orders (default: 1200000)")

    def __init__(self, options: Namespace) -> None:
        self._orders: int = options.orders
        self._before = self._shop = Path()

    @asynccontextmanager
    async def surroundings(self) -> AsyncGenerator[Mapping[str, str]]:
        with tempfile.TemporaryDirectory(prefix="celeriac-old-orders-") as folder:
            self._shop, self._before = Path(folder, "shop.db"), Path(folder, "before.db")
            policies = Path(folder, "policies")
            await asyncio.to_thread(policies.mkdir)
            await asyncio.to_thread(Path(policies, "old-orders.yaml").write_text, _POLICY)
            await asyncio.to_thread(fill, self._shop, self._orders)
            await asyncio.to_thread(shutil.copy, self._shop, self._before)
            yield {
                "CELERIAC_CLEANUP_CONNECTIONS": f"shop=sqlite:///{self._shop}",
                "CELERIAC_CLEANUP_TABLES": "shop.orders",
                "CELERIAC_CLEANUP_FOLDER": str(policies),
                "CELERIAC_CLEANUP_ARCHIVES": str(Path(folder, "archives")),
            }

    async def run(self, api: str, console: Console) -> Outcome:
        async with client_of(api) as client:
            to_go = await self._look_first(client, console)
            with Customers(self._shop, self._orders) as customers:
                began = time.monotonic()
                job = (await _call(client, f"{_POLICY_PATH}/runs"))["id"]
                console.print(f"POST {_POLICY_PATH}/runs → 202, job {job}", soft_wrap=True)
                console.print("meanwhile, customers go on writing")
                await follow(client, job, console, doing="archiving", total=to_go, with_message=True)
                seconds = time.monotonic() - began
            result: dict[str, Any] = (await client.get(f"/jobs/{job}/result")).json()["result"]
        console.print("reading the archive again, and comparing all rows with those that were there …")
        counted = await asyncio.to_thread(
            count, self._before, self._shop, result["files"], customers.added, self._orders
        )
        return self._outcome(result, counted, customers, seconds)

    async def _look_first(self, client: httpx2.AsyncClient, console: Console) -> int:
        """Show what would be done, and return how many rows go."""
        job = (await _call(client, f"{_POLICY_PATH}/dry-run"))["id"]
        preview: dict[str, Any] = await _result(client, job)
        console.print(
            f"POST {_POLICY_PATH}/dry-run → {preview['rows']:,} of {self._orders:,} orders would go, by", soft_wrap=True
        )
        console.print(f"  {preview['steps'][0]['sql'][-1]}", markup=False, soft_wrap=True)
        return int(preview["rows"])

    def _outcome(self, result: Mapping[str, Any], counted: Counted, customers: Customers, seconds: float) -> Outcome:
        deleted = int(result["rows"].get("orders", 0))
        faults = [*counted.faults, *customers.faults]
        if (result["state"], deleted) != ("done", self._orders - self._orders // RECENT_OF):
            faults.append(f"the run is {result['state']}, and has deleted {deleted:,} rows")
        summary = (
            f"{deleted:,} orders archived and deleted in {seconds:.1f} s, {counted.left:,} left, each of them once; "
            f"{len(customers.added):,} added and {customers.changed:,} changed meanwhile, "
            f"of which the slowest took {customers.slowest_ms:.0f} ms"
        )
        return Outcome(
            ok=not faults,
            summary="; ".join([summary, *faults]),
            seconds=seconds,
            facts={
                "deleted": deleted,
                "archived": counted.archived,
                "left": counted.left,
                "slowest_writer_ms": round(customers.slowest_ms, 1),
            },
        )


async def _call(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    response = await client.post(path, json={})
    if response.is_error:
        raise DemoFailed(f"POST {path}: the API answered {response.status_code}: {response.text}")
    return dict(response.json())


async def _result(client: httpx2.AsyncClient, job: str) -> dict[str, Any]:
    """Wait for a job's result by its events."""
    async with client.stream("GET", f"/jobs/{job}/events") as events:
        async for _ in events.aiter_lines():
            pass  # they end with the job
    response = await client.get(f"/jobs/{job}/result")
    if response.is_error:
        raise DemoFailed(f"job {job}: the API answered {response.status_code}: {response.text}")
    return dict(response.json()["result"])


def _count(text: str) -> int:
    number = int(text)
    if not 600 <= number <= 5_000_000:
        raise ArgumentTypeError("between 600 and 5,000,000")
    return number
