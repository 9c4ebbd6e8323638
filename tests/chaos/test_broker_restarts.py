"""The broker is killed and started again many times under load: the same worker process goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress

import pytest
import redis
from kombu.exceptions import OperationalError

from celeriac import BrokerUnavailable
from celeriac.store import keys
from tests.integration.engine.conftest import Broker, jobs_on_own_broker, own_broker
from tests.support import plain_twins
from tests.support.clock import fair_clock
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import StartWorker, immortal_keys
from tests.support.waiting import eventually
from tests.support.workers import Worker

__all__ = ["jobs_on_own_broker", "own_broker"]

#: Seconds without a server. Twenty times; once for so long that workers look for it as seldom as they ever do.
OUTAGES = [3.0, *(random.uniform(0, 0.6) for _ in range(19))]
#: Seconds from the server's first answer until a job that was enqueued after it is done.
TARGET = 1.0
#: The same for each outage, however busy the machine is with other tests.
LONGEST = 5.0

Enqueue = Callable[[], Awaitable[str]]


class Load:
    """Enqueues without a pause, and remembers the ids of what was confirmed: of nothing else is anything promised."""

    def __init__(self, enqueue: Enqueue) -> None:
        self._enqueue = enqueue
        self.accepted: list[str] = []

    async def one(self) -> str | None:
        with suppress(BrokerUnavailable, OperationalError):
            self.accepted.append(await self._enqueue())
            return self.accepted[-1]
        return None

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[None]:
        async def enqueue_for_ever() -> None:
            while True:
                await self.one()
                await asyncio.sleep(0.005)

        enqueueing = asyncio.create_task(enqueue_for_ever())
        try:
            yield
        finally:
            enqueueing.cancel()
            await asyncio.wait({enqueueing})


@pytest.fixture
def jobs_load(jobs_on_own_broker: ContractJobs) -> Load:
    """Typed jobs that report progress while they run."""

    async def enqueue() -> str:
        return (await jobs_on_own_broker.count.enqueue(steps=3)).id

    return Load(enqueue)


@pytest.fixture
def plain_load(own_broker: Broker) -> Iterator[Load]:
    """Tasks of a plain application, published by Celery's own, blocking, producer."""
    with closing(plain_twins.create(own_broker.url, set_as_current=False)) as app:

        async def enqueue() -> str:
            return (await asyncio.to_thread(app.tasks["async.nap"].delay, 0.1)).id

        yield Load(enqueue)
        app.backend.close()


@pytest.mark.slow
@pytest.mark.alone
async def test_typed_jobs_outlast_a_broker_that_is_killed_twenty_times(
    own_broker: Broker, start: StartWorker, jobs_load: Load
) -> None:
    worker = start("tests.support.contract_jobs", pool="asyncio", url=own_broker.url, concurrency=200)
    await _restart_under_load(own_broker, worker, jobs_load)


@pytest.mark.slow
@pytest.mark.alone
async def test_a_plain_application_outlasts_a_broker_that_is_killed_twenty_times(
    own_broker: Broker, start: StartWorker, plain_load: Load
) -> None:
    environment = {"TWINS_URL": own_broker.url, "PLAIN_URL": own_broker.url}
    application = "tests.support.plain_twins"
    worker = start("", pool="asyncio", application=application, environment=environment, concurrency=200)
    await _restart_under_load(own_broker, worker, plain_load)


async def _restart_under_load(broker: Broker, worker: Worker, load: Load) -> None:
    times: list[float] = []
    with broker.client() as client:
        async with load.going_on():
            for outage in OUTAGES:
                client.config_set("appendfsync", "everysec")
                enough = len(load.accepted) + 20
                await eventually(lambda enough=enough: len(load.accepted) >= enough, "the load goes on")
                await _kill(broker, client)
                await asyncio.sleep(outage)
                await broker.start()
                times.append(await _time_until_a_job_is_done(load, client))
        print(f"{len(load.accepted)} jobs; s until one is done: {', '.join(f'{t:.2f}' for t in sorted(times))}")
        await eventually(lambda: not _missing(client, load.accepted), "every accepted job is done", within=60)
        assert sum(taken > TARGET for taken in times) <= 2
        assert max(times) <= LONGEST
        assert worker.process.poll() is None
        await eventually(lambda: not client.keys(keys.held("*")), "nothing is held")
        assert client.llen("celery") == client.zcard(keys.delayed("celery")) == 0
        assert immortal_keys(client) == []
    assert worker.stop() == 0


async def _kill(broker: Broker, client: redis.Redis) -> None:
    """kill -9, while the append-only file is not being synced: what comes meanwhile the server confirms unwritten."""
    await eventually(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "no sync is under way")
    await broker.kill()


async def _time_until_a_job_is_done(load: Load, client: redis.Redis) -> float:
    with fair_clock() as clock:
        job_id = await eventually(load.one, "the server accepts a job")
        await eventually(lambda: not _missing(client, [job_id]), "it is done")
        return clock()


def _missing(client: redis.Redis, ids: list[str]) -> list[str]:
    """Those that are not done."""
    outcomes = client.mget([keys.result(job_id) for job_id in ids])
    return [
        job_id for job_id, raw in zip(ids, outcomes, strict=True) if not raw or json.loads(raw)["status"] != "SUCCESS"
    ]
