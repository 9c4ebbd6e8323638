"""How long does it take from enqueueing a job to seeing its result, one job at a time, with an idle worker process?

Each system waits for a result in its own way. A pause of random length between two jobs keeps polling from getting into
step with them. The figure is the median (p50) of a round.
"""

from __future__ import annotations

import asyncio
import statistics

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet
from benchmarks.support.options import Options
from benchmarks.support.records import new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server

_CALLS = 300
_QUICK = 20
_START = 60.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("latency", "from enqueue to result, one job at a time, p50", "ms")
    fleet = Fleet(options.environments)
    systems = {system.name: system for system in options.systems("latency")}
    count = options.scaled(_CALLS, _QUICK)

    async def measure(name: str) -> Sample:
        system = systems[name]
        with new_records() as records:
            async with (
                fresh_server() as server,
                fleet.workers(system, "noop", server.url, records, processes=1) as workers,
            ):
                await fleet.produce(system, "enqueue", system.task, 1, server.url)
                await workers.wait_for(1, within=_START)
                taken: list[float] = await fleet.produce(system, "call", system.task, count, server.url, "--first", "1")
            records.check(1 + count)
        p99 = sorted(taken)[int(0.99 * len(taken))]
        return Sample(statistics.median(taken) * 1000, {"p99 ms": p99 * 1000})

    return await rounds(bench, options, list(systems), measure)
