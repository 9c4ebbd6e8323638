"""How long after kill -9 does a worker's job run again?

1.5 seconds into a job of five seconds, all processes of the worker are killed, and a new worker is started at once. One
more job per second is enqueued meanwhile. In other rows, only the process that runs the job is killed, beside a second
one or as the only one. Its parent lives, and the benchmark starts nothing. Each system runs with its defaults, and with
settings that find a dead worker's jobs sooner.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from benchmarks.harness import Bench
from benchmarks.support.fleet import Fleet, Workers
from benchmarks.support.options import Options
from benchmarks.support.procfs import holders
from benchmarks.support.records import Records, WrongRun, new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import Server, fresh_server
from benchmarks.support.system import System

#: How long workers get to start and to look for jobs of others, before the job is enqueued (s).
_SETTLE = 3.0
#: When the job is killed after it began, and how long to wait for its second run (s).
_AFTER = 1.5
_PATIENCE = 20.0
_START = 60.0

#: The number of the job that is killed. The others count from 0.
_VICTIM = 10_000


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("recovery", "from kill -9 of a worker to the second run of its job", "s")
    bench.notes.append(f"No figure: not within {_PATIENCE:g} s.")
    fleet = Fleet(options.environments)
    systems = options.systems("recovery")
    tuned = [system.tuned() for system in systems if system.recovery]
    rows = {system.name: _Kill(fleet, system) for system in [*systems, *tuned]}
    for system in systems:
        if system.supervised:
            rows[f"{system.name}, one process of two"] = _Kill(fleet, system, whole=False)
            rows[f"{system.name}, its only process"] = _Kill(fleet, system, whole=False, processes=1)

    async def measure(row: str) -> Sample:
        return await rows[row].measure()

    return await rounds(bench, options, list(rows), measure)


class _Kill:
    """Kill a worker, or without `whole` only its process that runs the job, and wait for the job's next run."""

    def __init__(self, fleet: Fleet, system: System, *, whole: bool = True, processes: int = 2) -> None:
        self._fleet = fleet
        self._system = system
        self._whole = whole
        self._processes = processes

    async def measure(self) -> Sample:
        with new_records() as records:
            async with fresh_server() as server, self._workers(server, records) as workers:
                await asyncio.sleep(_SETTLE)
                await self._fleet.produce(self._system, "enqueue", "long", 1, server.url, "--first", str(_VICTIM))
                await workers.wait_until(lambda: len(_runs(records)) == 1, "the job", within=_START)
                runners = holders(workers.pids(), records.path)  # no other job has begun
                beside = asyncio.create_task(self._beside(server))
                try:
                    await asyncio.sleep(_AFTER)
                    if len(_runs(records)) > 1:
                        raise WrongRun(f"{self._system.name}: the job ran twice before anything was killed")
                    return Sample(await self._killed(workers, runners, server, records))
                finally:
                    beside.cancel()
                    await asyncio.gather(beside, return_exceptions=True)

    async def _killed(self, workers: Workers, runners: set[int], server: Server, records: Records) -> float:
        at = time.monotonic()
        if not self._whole:
            for pid in runners:
                os.kill(pid, signal.SIGKILL)
            return await self._second_run(workers, records) - at
        await workers.kill()
        async with self._workers(server, records) as successor:
            return await self._second_run(successor, records) - at

    async def _second_run(self, workers: Workers, records: Records) -> float:
        """When the job began again. Infinity if not in time."""
        await workers.sees(lambda: len(_runs(records)) > 1, within=_PATIENCE)
        runs = _runs(records)
        return runs[1] if len(runs) > 1 else float("inf")

    def _workers(self, server: Server, records: Records):
        return self._fleet.workers(self._system, "long", server.url, records, processes=self._processes)

    async def _beside(self, server: Server) -> None:
        await self._fleet.produce(self._system, "tick", "noop", int(_PATIENCE), server.url)


def _runs(records: Records) -> list[float]:
    """The times at which the job began."""
    return [record.at for record in records.read() if record.number == _VICTIM]
