"""Drains a queue of the same jobs, which were enqueued before, in each round for each system in turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet, Workers
from benchmarks.support.options import Options
from benchmarks.support.procfs import busy_seconds, cpu_seconds
from benchmarks.support.records import Records, new_records, rate
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import Server, fresh_server
from benchmarks.support.system import System

#: How long a drain may take, and how long until its first job (s).
_DEADLINE = 240.0
_START = 60.0


@dataclass(frozen=True)
class Case:
    """One row: a system, and what a producer's `action` puts into its queue: `jobs` times `task`."""

    system: System
    task: str
    jobs: int
    action: str


async def drains(bench: Bench, cases: Sequence[Case], load: str, options: Options) -> Bench:
    """Drain the queue of each case in each round, and add a row for each case to `bench`."""
    fleet = Fleet(options.environments)
    by_name = {case.system.name: case for case in cases}
    with TemporaryDirectory(prefix="celeriac-bench-") as directory:

        async def measure(name: str) -> Sample:
            queue = Path(directory) / f"{name}.rdb"
            if not queue.exists():
                await _fill(fleet, by_name[name], queue)
            return await _drain(fleet, by_name[name], load, queue, options.processes)

        return await rounds(bench, options, list(by_name), measure)


async def _fill(fleet: Fleet, case: Case, to: Path) -> None:
    async with fresh_server() as server:
        await fleet.produce(case.system, case.action, case.task, case.jobs, server.url)
        await server.save(to)


async def _drain(fleet: Fleet, case: Case, load: str, queue: Path, processes: int) -> Sample:
    with new_records() as records:
        async with (
            fresh_server(queue) as server,
            fleet.workers(case.system, load, server.url, records, processes=processes) as workers,
        ):
            await workers.wait_for(1, within=_START)
            first = await _Usage.now(workers, server, records)
            await workers.wait_for(case.jobs, within=_DEADLINE)
            last = await _Usage.now(workers, server, records)
        return Sample(rate(records.check(case.jobs)), first.until(last))


@dataclass(frozen=True)
class _Usage:
    """CPU seconds used so far, and the jobs done with them."""

    at: float
    jobs: int
    worker: float
    broker: float
    all: float

    @classmethod
    async def now(cls, workers: Workers, server: Server, records: Records) -> _Usage:
        pids = await asyncio.to_thread(workers.pids)
        return cls(time.monotonic(), records.count(), cpu_seconds(pids), cpu_seconds([server.pid]), busy_seconds())

    def until(self, last: _Usage) -> dict[str, float]:
        """CPU time used until `last`, per job, and how many cores other processes used."""
        jobs = (last.jobs - self.jobs) or float("nan")  # a short queue may be empty before the second look
        worker, broker = last.worker - self.worker, last.broker - self.broker
        others = (last.all - self.all - worker - broker) / (last.at - self.at)
        return {
            "worker CPU µs/job": worker / jobs * 1e6,
            "broker CPU µs/job": broker / jobs * 1e6,
            "others' cores": max(others, 0.0),
        }
