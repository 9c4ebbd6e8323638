"""Enqueueing from asyncio on a real server: many at the same time, and many with one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis
from pydantic import SecretStr

from celeriac import Celeriac, Job, JobExists, JobState, Settings
from celeriac.launch.broker.embedded import embedded_valkey
from tests.support.waiting import eventually


def add_to(app: Celeriac) -> Job[..., int]:
    @app.job(name="add")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    return add


@pytest.fixture
def add(app: Celeriac) -> Job[..., int]:
    return add_to(app)


@pytest_asyncio.fixture
async def alone(tmp_path: Path) -> AsyncGenerator[tuple[Celeriac, redis.Redis]]:
    """An application that has a server to itself, so that what the server counts is its doing."""
    async with embedded_valkey(tmp_path / "valkey", append_only=False) as url:
        app = Celeriac("alone", settings=Settings(broker_url=SecretStr(url), data_dir=tmp_path))
        with closing(redis.Redis.from_url(url)) as broker:
            yield app, broker
        await app.client.aclose()
        app.close()


def scripts_run(broker: redis.Redis) -> int:
    stats: dict[str, Any] = broker.info("commandstats")  # type: ignore[assignment]
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


def waiting(broker: redis.Redis, queue: str = "celery") -> list[dict[str, Any]]:
    """The messages, the next one first."""
    return [json.loads(message) for message in reversed(broker.lrange(queue, 0, -1))]


async def test_many_callers_at_the_same_time_share_round_trips_and_connections(
    alone: tuple[Celeriac, redis.Redis],
) -> None:
    app, broker = alone
    add = add_to(app)
    await add.enqueue(0)
    scripts, connections = scripts_run(broker), broker.info("stats")["total_connections_received"]
    handles = await asyncio.gather(*(add.enqueue(n) for n in range(1, 400)))
    assert scripts_run(broker) - scripts <= 4 + 4  # those that found nothing under way, and the others together
    assert broker.info("stats")["total_connections_received"] - connections <= 8
    assert {message["headers"]["id"] for message in waiting(broker)} >= {handle.id for handle in handles}
    assert broker.llen("celery") == len({handle.id for handle in handles}) + 1 == 400
    for number, handle in enumerate(handles, start=1):
        record = await handle.status()
        assert (record.state, record.arguments) == (JobState.QUEUED, {"a": number})


async def test_callers_at_the_same_time_get_their_own_queues_priorities_and_delays(
    add: Job[..., int], broker: redis.Redis
) -> None:
    jobs = [add, add.options(queue="mail"), add.options(priority=0), add.options(delay=60), add.options(priority=4)]
    handles = await asyncio.gather(*(jobs[n % 5].enqueue(n) for n in range(100)))
    lists = ["celery", "mail", "celery\x06\x169", "celery\x06\x163"]
    assert [broker.llen(name) for name in lists] == [20, 20, 20, 20]
    assert broker.zcard("celeriac:delayed:celery") == 20
    records = [await handle.status() for handle in handles]
    assert [record.arguments for record in records] == [{"a": n} for n in range(100)]
    assert {record.state for record in records[3::5]} == {JobState.SCHEDULED}
    assert [{record.priority for record in records[first::5]} for first in range(5)] == [
        {None},
        {None},
        {0},
        {None},
        {4},
    ]


async def test_a_caller_that_goes_away_takes_no_other_along(add: Job[..., int], broker: redis.Redis) -> None:
    callers = [asyncio.create_task(add.enqueue(n)) for n in range(200)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    handles = [await caller for caller in callers[1::2]]
    enqueued = {message["headers"]["id"] for message in waiting(broker)}
    assert {handle.id for handle in handles} <= enqueued
    assert await add.enqueue(1)


async def test_what_is_wrong_with_one_queue_is_no_error_of_other_jobs(add: Job[..., int], broker: redis.Redis) -> None:
    broker.set("taken", "by something that is no queue")
    jobs = [add.options(queue=queue) for queue in ("taken", "mail")]
    answers = await asyncio.gather(*(jobs[n % 2].enqueue(n) for n in range(100)), return_exceptions=True)
    assert {isinstance(answer, Exception) for answer in answers[::2]} == {True}
    assert {isinstance(answer, Exception) for answer in answers[1::2]} == {False}
    assert broker.llen("mail") == 50


async def test_many_with_one_call_are_accepted_in_order_in_few_round_trips(
    alone: tuple[Celeriac, redis.Redis],
) -> None:
    app, broker = alone
    add = add_to(app)
    before = scripts_run(broker)
    handles = await add.enqueue_many([{"a": n} for n in range(1001)])
    assert scripts_run(broker) - before <= 6
    messages = waiting(broker)
    assert [message["headers"]["id"] for message in messages] == [handle.id for handle in handles]
    assert [json.loads(message["body"])[1] for message in messages] == [{"a": n} for n in range(1001)]
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 1001
    assert broker.zcard("celeriac:jobs") == 1001


async def test_jobs_that_are_large_are_sent_in_smaller_parts(alone: tuple[Celeriac, redis.Redis]) -> None:
    app, broker = alone

    @app.job(name="store")
    async def store(text: str) -> None: ...

    before = scripts_run(broker)
    handles = await store.enqueue_many([{"text": "x" * 400_000}] * 5)
    assert broker.llen("celery") == len(handles) == 5
    assert scripts_run(broker) - before >= 5


async def test_each_event_loop_has_a_way_of_its_own(add: Job[..., int], app: Celeriac, broker: redis.Redis) -> None:
    async def elsewhere() -> int:
        handles = await asyncio.gather(*(add.enqueue(n) for n in range(50)))
        await app.client.aclose()
        return len(handles)

    here = asyncio.gather(*(add.enqueue(n) for n in range(50)))
    there = asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert [len(await here), await there] == [50, 50]
    assert broker.llen("celery") == 100


async def test_closing_waits_for_what_is_on_its_way(add: Job[..., int], app: Celeriac, broker: redis.Redis) -> None:
    callers = [asyncio.create_task(add.enqueue(n)) for n in range(100)]
    await eventually(callers[0].done)
    await app.client.aclose()
    await asyncio.gather(*callers)
    assert broker.llen("celery") == 100


async def test_one_of_many_jobs_gets_an_id_that_all_want_at_the_same_time(
    add: Job[..., int], broker: redis.Redis
) -> None:
    named = add.options(job_id="order-1")
    answers = await asyncio.gather(
        *(add.enqueue(n) for n in range(50)), *(named.enqueue(n) for n in range(3)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert [type(error) for error in refused] == [JobExists, JobExists]
    assert broker.llen("celery") == 51
    assert (await add.handle("order-1").status()).state is JobState.QUEUED


async def test_an_id_is_given_once_however_soon_it_is_chosen_again(app: Celeriac) -> None:
    @app.job
    async def note(number: int) -> None: ...

    for number in range(200):  # some of them within the same millisecond
        await note.options(job_id=f"note-{number}").enqueue(1)
        with pytest.raises(JobExists):
            await note.options(job_id=f"note-{number}").enqueue(1)


async def test_many_jobs_with_chosen_ids_can_be_sent_again(add: Job[..., int], broker: redis.Redis) -> None:
    ids = [f"{prefix}.{number}" for number in range(300) for prefix in ("a", "b")]
    handles = await add.enqueue_many([{"a": number} for number in range(600)], job_ids=ids)
    assert [handle.id for handle in handles] == ids
    again = await add.enqueue_many([{"a": 0}, {"a": 1}, {"a": 2}], job_ids=["a.7", "new", "b.299"])
    assert [handle.id for handle in again] == ["a.7", "new", "b.299"]
    assert [message["headers"]["id"] for message in waiting(broker)] == [*ids, "new"]
    await add.enqueue_many([{"a": 5}], job_ids=["a.7"])
    assert len(waiting(broker)) == 601
    assert (await add.handle("a.7").status()).arguments == {"a": 14}
