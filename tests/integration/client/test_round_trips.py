"""How often a client asks the server, counted on a real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

import httpx2
import pytest
import pytest_asyncio
import redis

from celeriac import Celeriac, Job, JobState
from celeriac.client.options import EnqueueOptions
from celeriac.store import keys
from tests.support.api_server import api_of
from tests.support.jobs_client import JobsClient

#: What a new connection says first.
GREETINGS = ("AUTH", "HELLO", "CLIENT", "SELECT")


@pytest.fixture
def add(app: Celeriac) -> Job[..., int]:
    @app.job(name="add")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    return add


@pytest_asyncio.fixture
async def client(app: Celeriac, add: Job[..., int]) -> AsyncGenerator[JobsClient]:
    """Answers in the test's own event loop."""
    transport = httpx2.ASGITransport(api_of(app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield JobsClient(http)


@contextmanager
def asked(broker: redis.Redis) -> Generator[list[str]]:
    """The commands that clients send to this database inside, without those that scripts call."""
    heard: list[str] = []
    with broker.monitor() as monitor:
        yield heard
        broker.echo("that was all")
        while (said := monitor.next_command())["command"] != "ECHO that was all":
            name = said["command"].partition(" ")[0]
            if said["client_type"] != "lua" and said["db"] == database(broker) and name not in GREETINGS:
                heard.append(name)


def database(broker: redis.Redis) -> int:
    return int(broker.get_connection_kwargs().get("db") or 0)


async def test_a_job_is_submitted_with_one_call_and_shown_as_it_was_recorded(
    client: JobsClient, broker: redis.Redis
) -> None:
    await client.submit("add", {"a": 1})  # the server has seen the script
    with asked(broker) as commands:
        view = await client.submit("add", {"a": 2})
    assert commands == ["EVALSHA"]
    assert view == await client.job(view["id"])


async def test_a_repeated_request_is_answered_with_one_call_from_the_record_of_its_job(
    client: JobsClient, broker: redis.Redis
) -> None:
    header = {"Idempotency-Key": "k"}
    first = await client.submit("add", {"a": 1}, **header)
    broker.hset(keys.record(first["id"]), "state", "running")
    with asked(broker) as commands:
        again = await client.submit("add", {"a": 1}, **header)
    assert commands == ["EVALSHA"]
    assert (again["id"], again["state"]) == (first["id"], "running")


async def test_a_repeated_request_for_a_job_whose_record_has_expired_is_not_found(
    client: JobsClient, broker: redis.Redis
) -> None:
    header = {"Idempotency-Key": "k"}
    first = await client.submit("add", {"a": 1}, **header)
    broker.delete(keys.record(first["id"]))
    assert (await client.post("/add", json={"a": 1}, headers=header)).status_code == 404


async def test_a_scheduled_job_is_told_as_it_was_recorded(app: Celeriac, add: Job[..., int]) -> None:
    told = await app.client.submit(add.call(a=1), EnqueueOptions(delay=60, priority=3, queue="other"))
    assert told == await app.client.get(told.id)
    assert (told.state, told.queue, told.priority) == (JobState.SCHEDULED, "other", 3)


async def test_a_job_is_cancelled_with_one_call(app: Celeriac, add: Job[..., int], broker: redis.Redis) -> None:
    first, second = await add.enqueue(a=1), await add.enqueue(a=2)
    await first.cancel()  # the server has seen the script
    with asked(broker) as commands:
        record = await second.cancel()
    assert commands == ["EVALSHA"]
    assert record == await second.status()
    assert record.state is JobState.CANCELLED


async def test_a_job_is_retried_with_one_call_after_a_look_at_what_it_is(
    app: Celeriac, add: Job[..., int], broker: redis.Redis
) -> None:
    first, second = await add.enqueue(a=1), await add.enqueue(a=2)
    for handle in (first, second):
        await handle.cancel()
    await app.client.retry(first.id)  # the server has seen the script
    with asked(broker) as commands:
        record = await app.client.retry(second.id)
    assert commands == ["HGETALL", "EVALSHA"]
    assert record == await second.status()
    assert record.state is JobState.QUEUED
