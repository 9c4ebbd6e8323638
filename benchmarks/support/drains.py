"""Draining a queue: the same jobs, enqueued before, in each round, for each system in turn."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet, Workers
from benchmarks.support.options import Options
from benchmarks.support.procfs import busy_seconds, cpu_seconds
from benchmarks.support.records import Records, new_records, rate
from benchmarks.support.server import Server, fresh_server
from benchmarks.support.systems import System

#: Seconds after which a drain has failed, however many jobs it has done.
_DEADLINE = 180.0
_START = 60.0


@dataclass(frozen=True)
class Case:
    """One system with what is in its queue: `jobs` times `task`, numbered from 0 (or what `action` makes of that)."""

    system: System
    task: str
    jobs: int
    action: str = "fill"
    records: int | None = None  # how many jobs that makes, if it is not as many


@dataclass(frozen=True)
class Drain:
    """What one run showed. CPU times are microseconds per job; `others` is the cores that other work took."""

    rate: float
    worker: float
    broker: float
    others: float

    def __str__(self) -> str:
        cpu = f"worker {self.worker:,.0f} µs, broker {self.broker:,.0f} µs a job"
        return f"{self.rate:,.0f}/s ({cpu}; other work {self.others:.2f} cores)"


async def drains(bench: Bench, cases: list[Case], load: str, options: Options) -> None:
    """Drain each case's queue in each round, and add a row for each to `bench`."""
    fleet = Fleet(options.environments)
    runs: dict[str, list[Drain]] = {case.system.name: [] for case in cases}
    with TemporaryDirectory(prefix="celeriac-bench-") as directory:
        for case in cases:
            options.say(f"{bench.bench}: filling the queue of {case.system.name} with {case.jobs:,}")
            await _prepare(fleet, case, _file(directory, case))
        for number in range(1, options.rounds + 1):
            for case in cases:
                drain = await _drain(fleet, case, load, _file(directory, case), options.processes)
                runs[case.system.name].append(drain)
                options.say(f"{bench.bench}, round {number}: {case.system.name} {drain}")
    for case in cases:
        bench.add(
            case.system.name,
            [drain.rate for drain in runs[case.system.name]],
            {
                "worker CPU µs/job": [drain.worker for drain in runs[case.system.name]],
                "broker CPU µs/job": [drain.broker for drain in runs[case.system.name]],
                "other work, cores": [drain.others for drain in runs[case.system.name]],
            },
        )


def _file(directory: str, case: Case) -> Path:
    return Path(directory) / f"{case.system.name}.rdb"


async def _prepare(fleet: Fleet, case: Case, to: Path) -> None:
    async with fresh_server() as server:
        await fleet.produce(case.system, case.action, case.task, case.jobs, server.url)
        await server.save(to)


async def _drain(fleet: Fleet, case: Case, load: str, queue: Path, processes: int) -> Drain:
    expected = case.records or case.jobs
    with new_records() as records:
        async with (
            fresh_server(queue) as server,
            fleet.workers(case.system, load, server.url, records, processes=processes) as workers,
        ):
            await workers.wait_for(1, within=_START)
            first = await _Usage.now(workers, server, records)
            await workers.wait_for(expected, within=_DEADLINE)
            last = await _Usage.now(workers, server, records)
        return first.until(last, rate(records.check(expected)))


@dataclass(frozen=True)
class _Usage:
    """CPU seconds so far, and the jobs they were spent on."""

    at: float
    jobs: int
    worker: float
    broker: float
    all: float

    @classmethod
    async def now(cls, workers: Workers, server: Server, records: Records) -> _Usage:
        pids = await asyncio.to_thread(workers.pids)
        return cls(time.monotonic(), records.count(), cpu_seconds(pids), cpu_seconds([server.pid]), busy_seconds())

    def until(self, last: _Usage, jobs_per_second: float) -> Drain:
        jobs = (last.jobs - self.jobs) or float("nan")
        worker, broker = last.worker - self.worker, last.broker - self.broker
        others = (last.all - self.all - worker - broker) / (last.at - self.at)
        return Drain(jobs_per_second, worker / jobs * 1e6, broker / jobs * 1e6, max(others, 0.0))
