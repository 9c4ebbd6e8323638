"""How much memory and CPU does an idle worker with one process take, and how soon does it begin its first job?

Memory is measured after that job: of all processes together, with shared pages counted in proportion (PSS), and of the
largest process, which is the one that runs jobs.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet
from benchmarks.support.options import Options
from benchmarks.support.procfs import cpu_seconds, pss_mib
from benchmarks.support.records import new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from benchmarks.support.system import System

#: How long to settle after the first job, and how long to measure the idle worker (s).
_SETTLE = 2.0
_IDLE = 10.0
_QUICK = 1.0
_START = 60.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("memory", "an idle worker with one process", "MiB PSS")
    fleet = Fleet(options.environments)
    systems = {system.name: system for system in options.systems("memory")}
    idle = _QUICK if options.quick else _IDLE
    return await rounds(bench, options, list(systems), lambda name: _measure(fleet, systems[name], idle))


async def _measure(fleet: Fleet, system: System, idle: float) -> Sample:
    with new_records() as records:
        async with fresh_server() as server:
            await fleet.produce(system, "enqueue", system.task, 1, server.url)
            async with fleet.workers(system, "noop", server.url, records, processes=1) as workers:
                await workers.wait_for(1, within=_START)
                await asyncio.sleep(min(_SETTLE, idle))
                used, began = cpu_seconds(workers.pids()), time.monotonic()
                await asyncio.sleep(idle)
                pids = workers.pids()
                used, seconds = cpu_seconds(pids) - used, time.monotonic() - began
                first = records.check(1)[0].at - workers.began
                more = {"largest process MiB": max(pss_mib([pid]) for pid in pids), "idle CPU %": used / seconds * 100}
                return Sample(pss_mib(pids), {**more, "first job s": first})
