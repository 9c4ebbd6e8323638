"""Everything at once: workers, pool processes, connections and the broker fail at random while jobs of every kind run.

What must hold afterwards: every job that was accepted has ended, each with the outcome that it has by itself; what had
ended did not run again; and no message is left over.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from celeriac import BrokerUnavailable, JobHandle, JobState
from tests.integration.engine.conftest import Broker, jobs_on_own_broker, module, own_broker
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import StartWorker, immortal_keys
from tests.support.waiting import eventually
from tests.support.workers import POOLS, Worker

__all__ = ["jobs_on_own_broker", "module", "own_broker"]

SECONDS = 40.0
SEED = int(os.environ.get("CHAOS_SEED", random.randrange(2**32)))


class Chaos:
    """Breaks things, one every now and then."""

    def __init__(
        self, jobs: ContractJobs, broker: Broker, start: StartWorker, module: str, dice: random.Random
    ) -> None:
        self._jobs, self._broker, self._start, self._module, self._dice = jobs, broker, start, module, dice
        self.workers: list[Worker] = []
        self.done: list[str] = []

    def add_worker(self) -> None:
        pool = self._dice.choice(POOLS)
        until = r"ready\.|Cannot connect"
        self.workers.append(self._start(self._module, pool=pool, url=self._broker.url, concurrency=3, until=until))

    async def strike(self) -> None:
        what = self._dice.choice([self.kill_worker] * 3 + [self.kill_pool, self.cut, self.freeze_worker, self.restart])
        self.done.append(what.__name__)
        await what()

    async def kill_worker(self) -> None:
        victim = self.workers.pop(self._dice.randrange(len(self.workers)))
        victim.kill()
        await asyncio.to_thread(self.add_worker)

    async def kill_pool(self) -> None:
        for pid in [pid for worker in self.workers for pid in worker.children()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def cut(self) -> None:
        with self._broker.client() as client, suppress(redis.RedisError):
            for connections in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", connections)

    async def freeze_worker(self) -> None:
        victim = self._dice.choice(self.workers)
        victim.signal(signal.SIGSTOP)
        await asyncio.sleep(self._dice.uniform(0.5, 4))  # the lease is 2 s
        victim.signal(signal.SIGCONT)

    async def restart(self) -> None:
        await self._broker.kill()
        await asyncio.sleep(self._dice.uniform(0, 2))
        await self._broker.start()


class Load:
    """Enqueues jobs, and remembers those that were accepted, with the end that each must come to."""

    def __init__(self, jobs: ContractJobs, dice: random.Random) -> None:
        self._jobs, self._dice = jobs, dice
        self.accepted: list[tuple[JobHandle, JobState]] = []

    async def one(self) -> None:
        jobs, good, bad = self._jobs, JobState.SUCCEEDED, JobState.FAILED
        choices = [
            (lambda: jobs.sleep_sync.enqueue(seconds=0.01), good),
            (lambda: jobs.sleep_sync.enqueue(seconds=0.5), good),
            (lambda: jobs.add.options(delay=self._dice.uniform(0, 2)).enqueue(1), good),
            (lambda: jobs.flaky.enqueue(failures=2), good),
            (lambda: jobs.flaky_sync.enqueue(failures=9), bad),
            (lambda: jobs.parent.enqueue(children=4, failing=1), good),
            (lambda: jobs.fail.enqueue("as it should"), bad),
        ]
        enqueue, end = self._dice.choice(choices)
        with suppress(BrokerUnavailable):  # not accepted, or not known to be: nothing is promised
            self.accepted.append((await enqueue(), end))


@pytest.mark.slow
async def test_whatever_breaks_every_accepted_job_comes_to_its_end(
    jobs_on_own_broker: ContractJobs,
    own_broker: Broker,
    start: StartWorker,
    module: str,
    tmp_path: Path,
) -> None:
    print(f"CHAOS_SEED={SEED}")
    jobs, dice = jobs_on_own_broker, random.Random(SEED)
    chaos, load = Chaos(jobs, own_broker, start, module, dice), Load(jobs, random.Random(SEED + 1))
    for _ in range(3):
        await asyncio.to_thread(chaos.add_worker)
    over = time.monotonic() + SECONDS

    async def keep_enqueueing() -> None:
        while time.monotonic() < over:
            await load.one()
            await asyncio.sleep(0.02)

    enqueueing = asyncio.create_task(keep_enqueueing())
    while time.monotonic() < over:
        await asyncio.sleep(dice.uniform(0.5, 3))
        await chaos.strike()
    await enqueueing
    print(f"{len(load.accepted)} jobs, {chaos.done}")
    for handle, end in load.accepted:
        record = await jobs.app.client.wait(handle.id, timeout=60)
        assert record.state is end, record
    for handle, _ in load.accepted:
        trace = jobs.trace.of(handle.id)
        assert trace.count("resumed") <= trace.count("start"), trace
    with own_broker.client() as client:
        await eventually(lambda: client.llen("celery") == 0, "no message is left")
        await eventually(lambda: not client.keys("celeriac:held:*"), "nothing is held")
        assert immortal_keys(client) == []
