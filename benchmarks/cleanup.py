"""How fast are old rows archived and deleted, how long do writers wait meanwhile, and does memory stay flat?

A table has 1,200,000 orders. The oldest million goes into a CSV.gz and is deleted, while four writers insert orders and
pay others. *by hand* is a loop over the key that selects a chunk, appends it to the archive, deletes it and commits. It
does not look whether the archive is right, and cannot be killed: rows would be in the archive twice. *celeriac* is a
job in a worker. It reads back what it has archived, deletes what is still as it was archived, and commits rows, cursor
and audit together.

*slowest ms* and *p99 ms* are those of the writers; *alone* has no deletion beside them. *CPU s* is that of the process
that cleans up (and of its database, where that is a server). *memory*: its highest resident memory.

Everything is in memory (/dev/shm). At the end the rows of table and archive are counted.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from benchmarks.harness import Bench
from benchmarks.peers.cleanup_orders import CUTOFF, fill_postgres, fill_sqlite
from benchmarks.support.data_runs import Spent, run_job, run_program
from benchmarks.support.databases import Postgres, running_postgres
from benchmarks.support.environments import ROOT
from benchmarks.support.options import Options
from benchmarks.support.place import folder_for
from benchmarks.support.procfs import cpu_seconds, tree
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds
from celeriac.database.engine import Database

_FOLDER_BYTES = 1_500_000_000
_WRITERS = 4
_ALONE_S = 10.0
_SYSTEMS = ("alone", "by hand", "celeriac")
_POLICY = """\
name: old-orders
connection: bench
table: orders
where: {{age: {{column: created_at, older_than: {days}d}}}}
action: archive
"""


@dataclass(frozen=True)
class Plan:
    """One row: who cleans up, where, and how many old and young rows there are."""

    system: str
    kind: str
    old: int
    young: int


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    old, young, few = options.scaled(1_000_000, 20_000), options.scaled(200_000, 4_000), options.scaled(10_000, 2_000)
    plans = {f"{kind}: {name}": Plan(name, kind, old, young) for kind in ("sqlite", "postgres") for name in _SYSTEMS}
    plans[f"memory: celeriac, {few:,} rows"] = Plan("celeriac", "postgres", few, young)
    bench = Bench("cleanup", "old rows archived and deleted", "rows/s", better="higher", bases=("by hand",))
    async with running_postgres() as postgres:
        return await rounds(bench, options, list(plans), lambda row: _measure(plans[row], postgres))


async def _measure(plan: Plan, postgres: Postgres) -> Sample:
    with folder_for(_FOLDER_BYTES) as folder:
        database = await _filled(plan, folder, postgres)
        pids = set[int]() if plan.kind == "sqlite" else tree(postgres.pid)
        before = cpu_seconds(pids)
        async with _writing(plan, database) as writing:
            spent = await _clean_up(plan, database, folder)
        server = cpu_seconds(pids | (tree(postgres.pid) if pids else set())) - before
        await _check(plan, database, folder, writing)
    more = {"slowest ms": writing.slowest_ms, "p99 ms": writing.p99_ms, "CPU s": spent.cpu_seconds + server}
    rows = plan.old if plan.system != "alone" else 0
    return Sample(rows / spent.seconds, {**more, "memory MiB": spent.peak_mib})


async def _filled(plan: Plan, folder: Path, postgres: Postgres) -> str:
    if plan.kind == "sqlite":
        file = folder / "shop.db"
        await asyncio.to_thread(fill_sqlite, str(file), plan.old, plan.young)
        return f"sqlite:///{file}"
    url = await postgres.create_database()
    await fill_postgres(url, plan.old, plan.young)
    return url


async def _clean_up(plan: Plan, database: str, folder: Path) -> Spent:
    if plan.system == "alone":
        await asyncio.sleep(_ALONE_S)
        return Spent(_ALONE_S, 0.0, 0.0)
    archives = folder / "archives"
    archives.mkdir()
    if plan.system == "by hand":
        return await run_program(
            sys.executable, "benchmarks.peers.cleanup_by_hand", database, str(archives / "orders.csv.gz")
        )
    (folder / "policies").mkdir()
    (folder / "policies" / "old-orders.yaml").write_text(_POLICY.format(days=(datetime.now(UTC) - CUTOFF).days + 1))
    variables = {
        "CELERIAC_CLEANUP_FOLDER": str(folder / "policies"),
        "CELERIAC_CLEANUP_CONNECTIONS": f"bench={database}",
        "CELERIAC_CLEANUP_TABLES": "bench.orders",
        "CELERIAC_CLEANUP_ARCHIVES": str(archives),
    }
    return await run_job(folder, variables, "celeriac.cleanup.run", policy="old-orders")


@dataclass
class _Writing:
    """What the writers tell at their end."""

    writes: int = 0
    slowest_ms: float = 0.0
    p99_ms: float = 0.0


@asynccontextmanager
async def _writing(plan: Plan, database: str) -> AsyncGenerator[_Writing]:
    """Have writers at work during the block."""
    pipe, first = asyncio.subprocess.PIPE, str(plan.old + plan.young)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peers.cleanup_writers", database, first, str(_WRITERS)),
        stdin=pipe,
        stdout=pipe,
        cwd=ROOT,
    )
    assert process.stdout is not None, "it has a pipe"
    await process.stdout.readline()
    writing = _Writing()
    try:
        yield writing
    finally:
        told, _ = await process.communicate(b"")  # they end with their input
        writes, writing.slowest_ms, writing.p99_ms = map(float, told.split())
        writing.writes = int(writes)


async def _check(plan: Plan, url: str, folder: Path, writing: _Writing) -> None:
    """Count what is left, and what is in the archive."""
    if plan.system == "alone":
        return
    database = Database(url)
    count = text("SELECT count(*) FROM orders")
    left = int(await database.look(lambda connection: connection.execute(count).scalar_one()))
    await database.dispose()
    archived = await asyncio.to_thread(_archived, folder / "archives")
    if left != plan.young + writing.writes or archived != plan.old:
        raise WrongRun(f"{left} rows are left of {plan.young} and {writing.writes}; {archived} are archived")


def _archived(folder: Path) -> int:
    """The number of different rows in all archives of a folder, which have the key first."""
    keys = set[str]()
    for path in folder.rglob("*.csv.gz"):
        with gzip.open(path, "rt", newline="") as stream:
            keys.update(row[0] for row in csv.reader(stream))
    return len({key for key in keys if key.isdecimal()})
