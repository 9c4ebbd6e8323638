"""Priorities in a mixed fleet: stock Celery and Celeriac enqueue on the same queue, and both take from it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
import redis
from celery import Celery

from celeriac import Celeriac, JobState, Settings
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import StartWorker
from tests.support.waiting import eventually

#: What is enqueued, in this order: whose priority it is, and the priority. None is given where there is none.
MIXED: list[tuple[str, int | None]] = [
    *[("celeriac", 0), ("stock", 9), ("celeriac", 1), ("stock", 8), ("stock", 6), ("celeriac", 3)],
    *[("celeriac", None), ("stock", 5), ("celeriac", 5), ("stock", None), ("celeriac", 4), ("celeriac", 7)],
    *[("stock", 0), ("celeriac", 8), ("stock", 3), ("celeriac", 9), ("celeriac", 6), ("stock", 1)],
]
#: In which of kombu's lists each is; jobs of one list run in the order in which they came.
LISTS = [
    *[("celeriac", None), ("stock", None), ("celeriac", 7), ("stock", 0), ("celeriac", 8), ("celeriac", 9)],
    *[("stock", 1)],
    *[("stock", 5), ("celeriac", 5), ("celeriac", 4), ("stock", 3), ("celeriac", 6)],
    *[("celeriac", 1), ("stock", 8), ("stock", 6), ("celeriac", 3)],
    *[("celeriac", 0), ("stock", 9)],
]


async def enqueue_mixed(jobs: ContractJobs, stock: Celery) -> dict[tuple[str, int | None], str]:
    """The ids."""
    ids: dict[tuple[str, int | None], str] = {}
    for producer, priority in MIXED:
        if producer == "celeriac":
            ids[producer, priority] = (await jobs.add.options(priority=priority).enqueue(1)).id
        else:
            given = {} if priority is None else {"priority": priority}
            ids[producer, priority] = str(stock.send_task("add", args=(1,), **given).id)
    return ids


async def ended(stock: Celery, job_id: str) -> datetime:
    """When the job ended, as the result of Celery's own says, whoever ran it."""
    result = stock.AsyncResult(job_id)
    await eventually(result.ready)
    assert result.get() == 2
    return result.date_done.replace(tzinfo=None)


@pytest.mark.usefixtures("no_key_leaks")
@pytest.mark.parametrize("worker", ["stock", "asyncio", "solo"])
async def test_workers_of_stock_celery_and_of_celeriac_run_a_mixed_queue_in_the_same_order(
    jobs: ContractJobs, stock: Celery, start: StartWorker, module: str, broker_url: str, worker: str
) -> None:
    ids = await enqueue_mixed(jobs, stock)
    if worker == "stock":
        application, environment = "tests.support.stock_app", {"STOCK_URL": broker_url}
        start("", pool="solo", application=application, environment=environment)
    else:
        start(module, pool=worker, concurrency=1)
    times = {job: await ended(stock, job_id) for job, job_id in ids.items()}
    assert sorted(times, key=lambda job: times[job]) == LISTS


def lengths(broker: redis.Redis, queue: str = "celery") -> dict[str, int]:
    """How many messages wait, by kombu's list."""
    steps = {"first": queue, "3": f"{queue}\x06\x163", "6": f"{queue}\x06\x166", "9": f"{queue}\x06\x169"}
    return {step: int(broker.llen(key)) for step, key in steps.items() if broker.llen(key)}  # type: ignore[arg-type]


def application(settings: Settings, **conf: Any) -> Celeriac:
    app = Celeriac("priorities", settings=settings)
    app.conf.update(conf)
    return app


async def test_a_job_has_its_own_priority_however_it_is_enqueued(settings: Settings, broker: redis.Redis) -> None:
    with application(settings) as app:

        @app.job(name="report", priority=2)
        async def report() -> None: ...

        handle = await report.enqueue()
        await report.enqueue_many([{}, {}])
        sent = [report.task.delay(), report.task.apply_async(), app.send_task("report"), report.task.s().delay()]
        assert lengths(broker) == {"6": 7}
        assert (await handle.status()).priority == 2
        for result in sent:
            assert (await app.client.get(result.id)).priority == 2
        page, _ = await app.client.page()
        assert {record.priority for record in page} == {2}
        await app.client.aclose()


async def test_whoever_enqueues_may_say_another_in_the_numbers_of_their_api(
    settings: Settings, broker: redis.Redis
) -> None:
    with application(settings) as app:

        @app.job(name="report", priority=2)
        async def report() -> None: ...

        await report.options(priority=9).enqueue()
        assert lengths(broker) == {"first": 1}
        result = report.task.apply_async(priority=9)  # Celery's numbers: the last
        assert lengths(broker) == {"first": 1, "9": 1}
        assert (await app.client.get(result.id)).priority == 0
        await app.client.aclose()


async def test_a_job_without_priority_has_that_of_a_task_without_one(settings: Settings, broker: redis.Redis) -> None:
    with application(settings, task_default_priority=5) as app:

        @app.job(name="report")
        async def report() -> None: ...

        handle = await report.enqueue()
        report.task.delay()
        assert lengths(broker) == {"3": 2}
        assert (await handle.status()).priority is None
        await app.client.aclose()


async def test_lists_of_ones_own_are_used_where_the_transport_is_given_them(
    settings: Settings, broker: redis.Redis
) -> None:
    with application(settings, broker_transport_options={"priority_steps": list(range(10)), "sep": ":"}) as app:

        @app.job(name="report")
        async def report() -> None: ...

        for priority in range(10):
            await report.options(priority=priority).enqueue()
        report.task.apply_async(priority=4)
        names = ["celery", *(f"celery:{step}" for step in range(1, 10))]
        assert [broker.llen(name) for name in names] == [1, 1, 1, 1, 2, 1, 1, 1, 1, 1]
        await app.client.aclose()


@pytest.mark.usefixtures("no_key_leaks")
async def test_a_delayed_job_goes_to_its_list_when_it_is_due(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    await jobs.add.options(priority=0, delay=600).enqueue(1)
    (entry,) = broker.zrange("celeriac:delayed:celery", 0, -1)  # type: ignore[misc]
    assert entry.startswith(b"9:celery\x06\x169{")
    handle = await jobs.add.options(priority=0, delay=0.2).enqueue(1)
    start(module, pool="threads")
    assert await handle.result(timeout=60) == 2


@pytest.mark.usefixtures("no_key_leaks")
async def test_the_next_attempt_of_a_job_has_its_priority(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    start(module, pool="threads")
    handle = await jobs.postponed.options(priority=0).enqueue(600)

    def retried() -> list[bytes]:
        return broker.zrange("celeriac:delayed:celery", 0, -1)  # type: ignore[return-value]

    (entry,) = await eventually(retried)
    assert entry.startswith(b"9:celery\x06\x169{")
    assert json.loads(entry.partition(b"\x169")[2])["headers"]["id"] == handle.id


@pytest.mark.usefixtures("no_key_leaks")
async def test_a_job_that_is_run_again_by_hand_has_its_priority(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    worker = start(module, pool="threads")
    handle = await jobs.fail.options(priority=4).enqueue("no hinges")
    assert (await jobs.app.client.wait(handle.id, timeout=60)).state is JobState.FAILED
    assert worker.stop() == 0
    await jobs.app.client.retry(handle.id)
    assert lengths(broker) == {"3": 1}


@pytest.mark.usefixtures("no_key_leaks")
async def test_a_job_that_waited_for_its_children_goes_on_with_its_priority(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    start(module, pool="threads")
    handle = await jobs.parent.options(priority=1).enqueue(2, gate="children")
    resume_queue = await eventually(lambda: broker.hget(f"celeriac:job:{handle.id}", "resume_queue"))
    assert resume_queue == b"celery\x06\x166"
    jobs.trace.open("children")
    assert (await handle.result(timeout=60))["succeeded"] == 2
