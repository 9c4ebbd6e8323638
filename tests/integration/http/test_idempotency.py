"""The Idempotency-Key header: the same request under the same key is the same job."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx2
import pytest
import redis
from pydantic import SecretStr

from celeriac import Settings
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, api_of, serving
from tests.support.jobs_client import JobsClient, problem

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def test_the_same_request_yields_the_same_job(client: JobsClient, key: dict[str, str]) -> None:
    first = await client.post("/add", json={"a": 1, "b": 2}, headers=key)
    again = await client.post("/add", json={"b": 2, "a": 1}, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == again.headers["location"]


async def test_a_repeated_request_shows_the_job_as_it_is_now(client: JobsClient, key: dict[str, str]) -> None:
    view = await client.submit("add", {"a": 1}, **key)
    await client.finished(view["id"])
    assert (await client.submit("add", {"a": 1}, **key))["state"] == "succeeded"


@pytest.mark.parametrize(("task", "arguments"), [("add", {"a": 2}), ("add", {"a": 1, "b": 1}), ("add_sync", {"a": 1})])
async def test_another_request_under_the_same_key_is_a_conflict(
    client: JobsClient, key: dict[str, str], store: redis.Redis, task: str, arguments: dict[str, int]
) -> None:
    view = await client.submit("add", {"a": 1}, **key)
    before = store.zcard("celeriac:jobs")
    body = problem(await client.post(f"/{task}", json=arguments, headers=key), 409, "idempotency-conflict")
    assert view["id"] in body["detail"]
    assert store.zcard("celeriac:jobs") == before


async def test_without_a_key_each_request_is_a_job(client: JobsClient) -> None:
    first, second = await client.submit("add", {"a": 1}), await client.submit("add", {"a": 1})
    assert first["id"] != second["id"]


async def test_twenty_at_once_are_one_job(client: JobsClient, key: dict[str, str]) -> None:
    views = await asyncio.gather(*(client.submit("flaky", {"failures": 0}, **key) for _ in range(20)))
    assert len({view["id"] for view in views}) == 1
    await client.finished(views[0]["id"])


async def test_a_refused_request_does_not_use_up_its_key(client: JobsClient, key: dict[str, str]) -> None:
    problem(await client.post("/add", json={"a": "x"}, headers=key), 422, "invalid-request")
    assert (await client.submit("add", {"a": 1}, **key))["task"] == "add"


async def test_keys_of_different_callers_are_different_keys(settings: Settings, key: dict[str, str]) -> None:
    secrets = {"alice": "a" * 16, "bob": "b" * 16}
    api_keys = tuple(SecretStr(f"{name}:{secret}") for name, secret in secrets.items())
    jobs = http_jobs.create(settings.model_copy(update={"api_keys": api_keys}))
    with serving(api_of(jobs.app)) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=60, base_url=server.url) as http:
            client = JobsClient(http)
            ids = {
                name: [
                    (await client.submit("add", {"a": 1}, **key, Authorization=f"Bearer {secret}"))["id"]
                    for _ in range(2)
                ]
                for name, secret in secrets.items()
            }
    jobs.app.close()
    assert len(set(ids["alice"])) == len(set(ids["bob"])) == 1
    assert ids["alice"] != ids["bob"]
