"""How fast do records of an API become rows, and does memory stay flat?

100,000 records come from a local API in 1,000 pages, into SQLite and into Postgres. *by hand* is a loop in one process
(aiohttp, executemany with an upsert, a commit for each page). It keeps no state, so a killed one begins anew. *dlt*
is its REST source with `merge`. *celeriac* is a job in a worker: it infers the columns, and commits rows, cursor and
place together. Time is from the first request to the last commit; celeriac's is that of the whole job.

*CPU s* is that of the process that syncs (and of its database, where that is a server). *memory*: the highest resident
memory of the process that syncs, with a table of ten thousand rows, and of a million.

Everything is in memory (/dev/shm), and each result is counted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from benchmarks.harness import Bench
from benchmarks.support.data_runs import Spent, run_job, run_program
from benchmarks.support.databases import Postgres, running_postgres
from benchmarks.support.environments import ROOT
from benchmarks.support.options import Options
from benchmarks.support.place import folder_for
from benchmarks.support.procfs import cpu_seconds, tree
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds
from celeriac.database.engine import Database

ENVIRONMENT = "dlt"
_PER_PAGE = 100
_FOLDER_BYTES = 1_500_000_000
_SYSTEMS = ("by hand", "dlt", "celeriac")
_DEFINITION = """\
name: orders
source:
  url: {url}
  records: data
  pagination: {{type: cursor, from_body: next, to_param: after}}
streams:
  - name: orders
    http: {{path: /orders}}
    primary_key: id
destination: {{connection: bench}}
"""


@dataclass(frozen=True)
class Plan:
    """One row: who syncs, into what, and how many records."""

    system: str
    kind: str
    records: int


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    many, few, most = options.scaled(100_000, 2_000), options.scaled(10_000, 1_000), options.scaled(1_000_000, 5_000)
    plans = {f"{kind}: {system}": Plan(system, kind, many) for kind in ("sqlite", "postgres") for system in _SYSTEMS}
    if options.families:
        plans = {row: plan for row, plan in plans.items() if plan.system in ("by hand", *options.families)}
    plans |= {f"memory: celeriac, {count:,} rows": Plan("celeriac", "sqlite", count) for count in (few, most)}
    bench = Bench("sync", "records of an API into a database", "records/s", better="higher", bases=("by hand", "dlt"))
    async with running_postgres() as postgres:
        return await rounds(bench, options, list(plans), lambda row: _measure(options, plans[row], postgres))


async def _measure(options: Options, plan: Plan, postgres: Postgres) -> Sample:
    with folder_for(_FOLDER_BYTES) as folder:
        is_sqlite = plan.kind == "sqlite"
        database = f"sqlite:///{folder / 'main.db'}" if is_sqlite else await postgres.create_database()
        before = 0.0 if is_sqlite else cpu_seconds(tree(postgres.pid))
        async with _api(plan.records) as url:
            sync = _celeriac if plan.system == "celeriac" else _peer
            spent = await sync(options, plan, url, database, folder)
        cpu = spent.cpu_seconds + (0.0 if is_sqlite else cpu_seconds(tree(postgres.pid)) - before)
        await _check(database, plan)
    return Sample(plan.records / spent.seconds, {"CPU s": cpu, "memory MiB": spent.peak_mib})


async def _check(url: str, plan: Plan) -> None:
    database = Database(url)
    schema = "main." if plan.system == "dlt" else ""
    count = text(f"SELECT count(*), count(DISTINCT id) FROM {schema}orders")
    found = tuple(await database.look(lambda connection: connection.execute(count).one()))
    await database.dispose()
    if found != (plan.records, plan.records):
        raise WrongRun(f"of {plan.records} records, the table has {found[0]} rows, with {found[1]} keys")


@asynccontextmanager
async def _api(records: int) -> AsyncGenerator[str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peers.sync_api", str(records), str(_PER_PAGE)),
        stdin=pipe,
        stdout=pipe,
        cwd=ROOT,
    )
    assert process.stdout is not None, "it has a pipe"
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        await process.communicate(b"")  # it ends with its input


async def _peer(options: Options, plan: Plan, url: str, database: str, folder: Path) -> Spent:
    is_dlt = plan.system == "dlt"
    python = await asyncio.to_thread(options.environments.python, ENVIRONMENT if is_dlt else None)
    module = f"benchmarks.peers.sync_{plan.system.replace(' ', '_')}"
    quiet = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    return await run_program(python, module, url, database, str(folder), **quiet)


async def _celeriac(options: Options, plan: Plan, url: str, database: str, folder: Path) -> Spent:
    (folder / "syncs").mkdir()
    (folder / "syncs" / "orders.yaml").write_text(_DEFINITION.format(url=url))
    variables = {"CELERIAC_SYNC_FOLDER": str(folder / "syncs"), "CELERIAC_SYNC_CONNECTIONS": f"bench={database}"}
    return await run_job(folder, variables, "celeriac.sync.run", sync="orders")
