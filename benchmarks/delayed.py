"""How much memory do many delayed jobs take in a worker, and do they start in time?

First, jobs that are due tomorrow are enqueued while a worker runs. Its memory must not grow with them. Then jobs are
enqueued of which 1,000 a second become due. The figure is how late jobs start (p99). Memory is the resident memory of
all processes of the worker, before and after the jobs of tomorrow.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from benchmarks.harness import Bench
from benchmarks.peers.workload import TOGETHER
from benchmarks.support.fleet import Fleet, Workers
from benchmarks.support.options import Options
from benchmarks.support.procfs import rss_mib
from benchmarks.support.records import Records, new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import Server, fresh_server
from benchmarks.support.system import System

_SOON = 20_000
_PACE = 1000.0
_QUICK = 200
_TOMORROW = 86_400.0
_START = 60.0
_DEADLINE = 240.0
#: How long before their time jobs are enqueued: this many seconds for each 1,000 of them, and at least so many.
_LEAD = 1.0
_LEAST_LEAD = 3.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("delayed", "delayed jobs that come due at 1,000 a second, beside many of tomorrow", "ms late, p99")
    fleet = Fleet(options.environments)
    systems = {system.name: system for system in options.systems("delayed")}

    async def measure(name: str) -> Sample:
        return await _Delayed(fleet, systems[name], options).measure()

    return await rounds(bench, options, list(systems), measure)


class _Delayed:
    """One run."""

    def __init__(self, fleet: Fleet, system: System, options: Options) -> None:
        self._fleet = fleet
        self._system = system
        self._tomorrow = options.scaled(system.delayed, _QUICK)
        self._soon = options.scaled(min(_SOON, system.delayed), _QUICK)
        self._processes = options.processes

    async def measure(self) -> Sample:
        with new_records() as records:
            async with (
                fresh_server() as server,
                self._fleet.workers(self._system, "noop", server.url, records, processes=self._processes) as workers,
            ):
                await self._fleet.produce(self._system, "enqueue", self._system.task, 1, server.url)
                await workers.wait_for(1, within=_START)
                before = rss_mib(workers.pids())
                await self._fill(server)
                after = rss_mib(workers.pids())
                late = await self._late(server, workers, records)
        return Sample(
            late[int(0.99 * len(late))] * 1000,
            {
                "p50 ms": late[len(late) // 2] * 1000,
                "jobs of tomorrow": self._tomorrow,
                "MiB before": before,
                "MiB after": after,
            },
        )

    async def _fill(self, server: Server) -> None:
        """Enqueue the jobs of tomorrow, from several producers at the same time."""
        due = time.time() + _TOMORROW
        size = -(-self._tomorrow // self._processes)
        end = self._soon + 1 + self._tomorrow
        firsts = range(self._soon + 1, end, size)
        parts = (self._enqueue(server, min(size, end - first), first=first, due=due) for first in firsts)
        await asyncio.gather(*parts)

    async def _late(self, server: Server, workers: Workers, records: Records) -> list[float]:
        """Enqueue the jobs that are due soon, and return how late each of them began (s), in order."""
        due = time.time() + max(_LEAST_LEAD, _LEAD * self._soon / 1000)
        await self._enqueue(server, self._soon, first=1, due=due, pace=_PACE)
        since = due - (time.time() - time.monotonic())  # CLOCK_MONOTONIC, as in the records
        await workers.wait_for(1 + self._soon, within=_DEADLINE)
        began = (record for record in records.check(1 + self._soon) if record.number)
        return sorted(record.at - since - (record.number - 1) // TOGETHER * TOGETHER / _PACE for record in began)

    async def _enqueue(self, server: Server, count: int, *, first: int, due: float, pace: float = 0) -> None:
        variables = {**self._system.variables, "BENCH_DUE": str(due), "BENCH_PACE": str(pace)}
        producer = replace(self._system, variables=variables)
        await self._fleet.produce(producer, "later", self._system.task, count, server.url, "--first", str(first))
