"""The API while its broker is killed, frozen, full, or back: it says so, in time, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from pydantic import SecretStr

from celeriac import Settings
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, api_of, serving
from tests.support.broker import Broker, fragile_broker, unable_to_save
from tests.support.clock import FairClock, fair_clock
from tests.support.jobs_client import JobsClient, problem
from tests.support.waiting import eventually

#: Seconds within which an absent broker is reported, of a clock that stands while other processes have the machine.
PROMISED = 2.0
#: Seconds for which a client waits for an answer of the broker, and more than it takes to see that it is absent.
ONE_WAIT = 1.5
#: Seconds for what else the machine does meanwhile.
MARGIN = 1.0
#: More requests at a time than the API has connections to the broker.
CROWD = 100

ROUTES = [
    ("POST", "/add"),
    ("GET", ""),
    ("GET", "/{id}"),
    ("GET", "/{id}/result"),
    ("GET", "/{id}/events"),
    ("POST", "/{id}/cancel"),
    ("POST", "/{id}/retry"),
]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncGenerator[Broker]:
    async with fragile_broker(tmp_path) as broker:
        yield broker


@pytest.fixture
async def client(broker: Broker, tmp_path: Path) -> AsyncGenerator[JobsClient]:
    jobs = http_jobs.create(Settings(broker_url=SecretStr(broker.url), data_dir=tmp_path))
    limits = httpx2.Limits(max_connections=200)
    with serving(api_of(jobs.app)) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60, limits=limits) as http:
            yield JobsClient(http)
    jobs.app.close()


@pytest.fixture
def clock() -> Iterator[FairClock]:
    with fair_clock() as clock:
        yield clock


async def timed(answer: Any, clock: FairClock) -> tuple[httpx2.Response, float]:
    started = clock()
    return await answer, clock() - started


async def assert_unavailable(client: JobsClient, job_id: str, clock: FairClock) -> None:
    """Every route says so, in time."""
    calls = [
        client.http.request(method, f"/jobs{path.format(id=job_id)}", json={"a": 1} if method == "POST" else None)
        for method, path in ROUTES
    ]
    for answer, seconds in await asyncio.gather(*(timed(call, clock) for call in calls)):
        problem(answer, 503, "broker-unavailable")
        assert answer.headers["retry-after"] == "1"
        assert seconds < PROMISED, answer.request.url
    answer, seconds = await timed(client.http.get("/health/ready"), clock)
    problem(answer, 503, "broker-unavailable")
    assert seconds < PROMISED


@pytest.mark.alone
async def test_a_killed_broker_is_reported_and_its_return_is_seen_at_once(
    client: JobsClient, broker: Broker, clock: FairClock
) -> None:
    view = await client.submit("add", {"a": 1})
    await broker.kill()
    await assert_unavailable(client, view["id"], clock)
    assert (await client.http.get("/health/live")).json() == {"status": "ok"}
    await broker.start()
    assert (await client.post("/add", json={"a": 2})).status_code == 202, "the first request"
    assert (await client.http.get("/health/ready")).status_code == 200
    assert (await client.job(view["id"]))["state"] == "queued", "what was accepted before is there"


@pytest.mark.alone
async def test_a_restart_between_two_requests_is_not_noticed(client: JobsClient, broker: Broker) -> None:
    await asyncio.gather(*(client.submit("add", {"a": n}) for n in range(20)))  # many connections, all to be broken
    await broker.kill()
    await broker.start()
    answers = await asyncio.gather(*(client.post("/add", json={"a": n}) for n in range(20)))
    assert {answer.status_code for answer in answers} == {202}


@pytest.mark.alone
async def test_a_frozen_broker_holds_nobody_up(client: JobsClient, broker: Broker, clock: FairClock) -> None:
    view = await client.submit("add", {"a": 1})
    broker.freeze()
    unavailable = asyncio.create_task(assert_unavailable(client, view["id"], clock))
    looks = []
    while not unavailable.done():
        answer, seconds = await timed(client.http.get("/health/live"), clock)
        assert answer.status_code == 200
        looks.append(seconds)
        await asyncio.wait([unavailable], timeout=0.05)
    await unavailable
    assert len(looks) > 5
    assert sorted(looks)[len(looks) // 2] < 0.1, "answered meanwhile"
    assert max(looks) < ONE_WAIT / 2, "the API waited for the broker"
    broker.thaw()
    assert (await client.post("/add", json={"a": 2})).status_code == 202, "the first request"


@pytest.mark.alone
async def test_a_crowd_at_a_frozen_broker_is_answered_in_time(
    client: JobsClient, broker: Broker, clock: FairClock
) -> None:
    """More requests than the pool has connections: nobody waits in line first, and then for the broker too."""

    async def crowd(arguments: dict[str, Any]) -> tuple[set[int], float]:
        began = clock()
        answers = await asyncio.gather(*(client.post("/add", json=arguments) for _ in range(CROWD)))
        return {answer.status_code for answer in answers}, clock() - began

    async def is_served() -> bool:
        return (await crowd({"a": 1}))[0] == {202}

    await eventually(is_served, "all connections are made")  # a busy machine may need more than the time of a request
    refused, scheduling = await crowd({"a": "no number"})
    assert refused == {422}
    broker.freeze()
    unavailable, seconds = await crowd({"a": 1})
    assert unavailable == {503}
    assert seconds < PROMISED + scheduling + MARGIN
    broker.thaw()
    await eventually(is_served, "all are served again")


@pytest.mark.slow
async def test_what_was_not_confirmed_can_be_sent_again_under_its_key(client: JobsClient, broker: Broker) -> None:
    """A frozen broker has received the request, and carries it out when it can, though nobody was told."""
    key = {"Idempotency-Key": "order 66"}
    await client.submit("add", {"a": 0})  # the script is known, the connection made
    broker.freeze()
    problem(await client.post("/add", json={"a": 1}, headers=key), 503, "broker-unavailable")
    broker.thaw()
    await client.submit("add", {"a": 1}, **key)
    jobs = (await client.get("")).json()["jobs"]
    assert len(jobs) == 2


@pytest.mark.parametrize(("fault", "shown"), [("maxmemory", "OOM"), ("min-replicas-to-write", "NOREPLICAS")])
async def test_a_broker_that_cannot_store_is_reported_and_nothing_is_accepted(
    client: JobsClient, broker: Broker, fault: str, shown: str
) -> None:
    with redis.Redis.from_url(broker.url) as operator:
        operator.config_set(fault, 1)
        answer = await client.post("/add", json={"a": 1})
        assert shown in problem(answer, 503, "broker-unavailable")["detail"]
        assert answer.headers["retry-after"] == "1"
        assert operator.keys() == []
        operator.config_set(fault, 0)
    assert (await client.post("/add", json={"a": 1})).status_code == 202


async def test_a_broker_that_cannot_save_is_reported_and_nothing_is_accepted(
    client: JobsClient, broker: Broker, tmp_path: Path
) -> None:
    with redis.Redis.from_url(broker.url) as operator:
        async with unable_to_save(tmp_path, operator):
            answer = await client.post("/add", json={"a": 1})
            assert "MISCONF" in problem(answer, 503, "broker-unavailable")["detail"]
            assert operator.keys() == []
    assert (await client.post("/add", json={"a": 1})).status_code == 202


@pytest.mark.slow
async def test_a_broker_that_has_changed_its_password_is_reported_without_it(
    client: JobsClient, broker: Broker
) -> None:
    await client.submit("add", {"a": 1})
    with redis.Redis.from_url(broker.url) as operator:
        operator.config_set("requirepass", "another")
        operator.client_kill_filter(_type="normal", skipme=True)
        answer = await client.post("/add", json={"a": 1})
        problem(answer, 503, "broker-unavailable")
        assert "another" not in answer.text
