"""How many jobs can one producer enqueue in a second: one after the other, and with the bulk API of each system?

Every job has other arguments. Celeriac validates them against the function's annotations, and writes a job record.
"""

from __future__ import annotations

import asyncio

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet
from benchmarks.support.options import Options
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server

_ONE_BY_ONE = 3000
_BULK = 20_000
_QUICK = 200


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("enqueue_peers", "one producer, one by one and in bulk", "jobs/s", better="higher")
    fleet = Fleet(options.environments)
    producers = options.systems("enqueue_peers")
    one_by_one = {f"one by one: {s.name}": (s, "enqueue", _ONE_BY_ONE) for s in producers}
    bulk = {f"in bulk: {s.name}": (s, "fill", min(s.jobs, _BULK)) for s in producers if s.bulk}
    rows = one_by_one | bulk

    ways = ", ".join(f"{system.name} {system.bulk}" for system in producers if system.bulk)
    bench.notes.append(f"In bulk: {ways}.")

    async def measure(row: str) -> Sample:
        system, action, most = rows[row]
        count = options.scaled(most, _QUICK)
        async with fresh_server() as server:
            return Sample(count / await fleet.produce(system, action, system.task, count, server.url, "--warm-up"))

    return await rounds(bench, options, list(rows), measure)
