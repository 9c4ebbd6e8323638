"""How much memory does a finished job take in the broker, as long as it is kept?

Jobs that do nothing are enqueued one by one, and run. The figure is the growth of the server's memory, after no message
is queued or held any more, divided by the number of jobs. A second figure is the memory of a waiting job.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet
from benchmarks.support.options import Options
from benchmarks.support.records import new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from benchmarks.support.system import System

#: Jobs run before the first look, so that scripts, queues and workers have taken their memory.
_WARM = 200
_JOBS = 5000
_QUICK = 300
_DEADLINE = 240.0
#: How long to wait for the last outcomes to be written (s).
_SETTLE = 2.0
#: Bytes of a stream's block: in the embedded server, and by default.
_OURS, _THEIRS = 256, 4096


@dataclass(frozen=True)
class _Row:
    system: System
    block: int = _OURS

    @property
    def name(self) -> str:
        return self.system.name + (f", stream-node-max-bytes {self.block}" if self.block != _OURS else "")


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("finished", "what a finished job takes in the broker", "bytes")
    fleet = Fleet(options.environments)
    systems = options.systems("finished")
    every = [_Row(system) for system in systems] + [_Row(system, _THEIRS) for system in systems if system.records]
    rows = {row.name: row for row in every}
    jobs = options.scaled(_JOBS, _QUICK)
    return await rounds(bench, options, list(rows), lambda name: _measure(fleet, rows[name], jobs))


async def _measure(fleet: Fleet, row: _Row, jobs: int) -> Sample:
    system = row.system
    with new_records() as records:
        async with fresh_server() as server, Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.config_set("stream-node-max-bytes", row.block)  # pyright: ignore[reportUnknownMemberType]
            await fleet.produce(system, "enqueue", system.task, _WARM, server.url)
            async with fleet.workers(system, "noop", server.url, records, processes=1) as workers:
                await workers.wait_for(_WARM, within=_DEADLINE)
                before = await _settled(redis)
            await fleet.produce(system, "enqueue", system.task, jobs, server.url)
            waiting = await _used(redis)
            async with fleet.workers(system, "noop", server.url, records, processes=1) as workers:
                await workers.wait_for(_WARM + jobs, within=_DEADLINE)
                after = await _settled(redis)
    return Sample((after - before) / jobs, {"while it waits": (waiting - before) / jobs})


async def _settled(redis: Any) -> int:
    """Wait until the used memory does not change any more, and return it."""
    used = await _used(redis)
    give_up = time.monotonic() + _DEADLINE
    while time.monotonic() < give_up:
        await asyncio.sleep(_SETTLE)
        before, used = used, await _used(redis)
        if abs(used - before) < _WARM:
            break
    return used


async def _used(redis: Any) -> int:
    info = cast("dict[str, int]", await redis.info("memory"))
    return info["used_memory"]
