"""How many jobs can one process have in flight without losing any?

10,000 jobs of five seconds are in the queue of a worker with one process, which may run all at the same time. The
figure is the highest number that ran at once. Each job has to run once: if a worker is too busy to renew its lease, its
jobs run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.harness import Bench
from benchmarks.peers.workload import LONG
from benchmarks.support.fleet import Fleet
from benchmarks.support.options import Options
from benchmarks.support.records import Record, new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from benchmarks.support.system import System

_JOBS = 10_000
_QUICK = 200
_DEADLINE = 240.0
#: How long after the end of the last job a repeated job would show (s).
_AFTER = 2.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("in_flight", "jobs of five seconds, in one process at once", "jobs", better="higher")
    fleet = Fleet(options.environments)
    systems = {system.name: system for system in options.systems("in_flight")}
    jobs = options.scaled(_JOBS, _QUICK)
    return await rounds(bench, options, list(systems), lambda name: _measure(fleet, systems[name], jobs))


async def _measure(fleet: Fleet, system: System, jobs: int) -> Sample:
    with new_records() as records:
        async with fresh_server() as server:
            await fleet.produce(system, "fill", "long", jobs, server.url)
            async with fleet.workers(system, "many", server.url, records, processes=1) as workers:
                await workers.wait_for(jobs, within=_DEADLINE)
                await asyncio.sleep(LONG + _AFTER)
        began = records.check(jobs)
    return Sample(_most_at_once(began), {"s until all had begun": began[-1].at - began[0].at})


def _most_at_once(began: Sequence[Record]) -> int:
    """The highest number of jobs that began within the duration of one job."""
    most = first = 0
    for last, record in enumerate(began):
        while began[first].at < record.at - LONG:
            first += 1
        most = max(most, last - first + 1)
    return most
