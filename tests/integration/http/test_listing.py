"""Listing jobs: filters, and pages that neither repeat nor leave out a job while others come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx2
import pytest
import redis
from pydantic import SecretStr

from celeriac import Settings
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, ApiServer, api_of, serving
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import PATIENT
from tests.support.jobs_client import JobsClient


@pytest.fixture(scope="module")
def own_jobs(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractJobs]:
    folder = tmp_path_factory.getbasetemp()
    made = http_jobs.create(Settings(broker_url=SecretStr(valkey_url), data_dir=folder, broker_timeout=PATIENT))
    yield made
    made.app.close()


@pytest.fixture(scope="module")
def own_api(own_jobs: ContractJobs) -> Iterator[ApiServer]:
    with serving(api_of(own_jobs.app)) as server:
        yield server


@pytest.fixture
async def jobs(own_jobs: ContractJobs, broker_url: str) -> AsyncGenerator[ContractJobs]:
    """Jobs on an empty database that no worker takes."""
    yield own_jobs
    await own_jobs.app.client.aclose()


@pytest.fixture
async def client(jobs: ContractJobs, own_api: ApiServer) -> AsyncGenerator[JobsClient]:
    async with httpx2.AsyncClient(verify=NO_TLS, base_url=own_api.url, timeout=60) as http:
        yield JobsClient(http)


async def page(client: JobsClient, **query: Any) -> tuple[list[dict[str, Any]], str | None]:
    answer = await client.get("", params={name: value for name, value in query.items() if value is not None})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"jobs", "next"}
    return body["jobs"], body["next"]


async def pages(client: JobsClient, **query: Any) -> AsyncGenerator[list[dict[str, Any]]]:
    """Every page, first to last."""
    cursor = None
    while True:
        jobs, cursor = await page(client, cursor=cursor, **query)
        yield jobs
        if cursor is None:
            return


async def ids(client: JobsClient, **query: Any) -> list[str]:
    return [job["id"] async for jobs in pages(client, **query) for job in jobs]


async def test_no_jobs_are_an_empty_page(client: JobsClient) -> None:
    assert await page(client) == ([], None)


async def test_jobs_come_newest_first(client: JobsClient, jobs: ContractJobs) -> None:
    handles = [await jobs.add.enqueue(n) for n in range(3)]
    listed = [job async for found in pages(client, limit=2) for job in found]
    assert {job["id"] for job in listed} == {handle.id for handle in handles}
    assert [job["created_at"] for job in listed] == sorted((job["created_at"] for job in listed), reverse=True)


async def test_each_filter_selects(client: JobsClient, jobs: ContractJobs) -> None:
    add = await jobs.add.enqueue(1)
    reports = await jobs.add.options(queue="reports").enqueue(1)
    later = await jobs.fail.options(delay=3600).enqueue("x")
    child = await jobs.add.enqueue(1)
    await jobs.app.client.cancel(child.id)
    assert set(await ids(client, task="add")) == {add.id, reports.id, child.id}
    assert await ids(client, task="add", queue="reports") == [reports.id]
    assert await ids(client, state="scheduled") == [later.id]
    assert await ids(client, state="cancelled") == [child.id]
    assert await ids(client, task="no such task") == []


@pytest.mark.usefixtures("worker_of_this_database")
async def test_the_children_of_a_job_are_listed(client: JobsClient, jobs: ContractJobs) -> None:
    parent = await jobs.parent.enqueue(children=3)
    await parent.result(timeout=60)
    children = [job async for found in pages(client, parent=parent.id) for job in found]
    assert [job["parent_id"] for job in children] == [parent.id] * 3
    view = await client.job(parent.id)
    assert view["children"] == {"total": 3, "open": 0, "succeeded": 3, "failed": 0, "cancelled": 0}


@pytest.fixture
def worker_of_this_database(start: Any) -> None:
    start("tests.support.http_jobs", pool="threads", concurrency=4)


@pytest.mark.parametrize("limit", [1, 7, 200])
async def test_pages_neither_repeat_nor_leave_out_while_jobs_come_in(
    client: JobsClient, jobs: ContractJobs, limit: int
) -> None:
    """Jobs of one batch share their millisecond, so the order within it matters too."""
    before = {handle.id for handle in await jobs.add.enqueue_many([{"a": n} for n in range(50)])}
    listed: list[str] = []
    newcomers: set[str] = set()
    async for found in pages(client, limit=limit):
        listed += [job["id"] for job in found]
        newcomers |= {handle.id for handle in await jobs.add.enqueue_many([{"a": 0}] * 3)}
    assert len(listed) == len(set(listed))
    assert before <= set(listed) <= before | newcomers


async def test_a_filtered_page_does_not_repeat_what_comes_in_while_it_is_made(
    client: JobsClient, jobs: ContractJobs
) -> None:
    """A filter has the API look in several steps, while the newest end grows."""
    calls = [call for n in range(300) for call in (jobs.add.call(n), jobs.fail.call("not listed"))]
    before = set(await jobs.app.client.enqueue_many(calls))

    async def grow() -> None:
        while not enough.is_set():
            await jobs.fail.enqueue("not listed")

    enough = asyncio.Event()
    growing = asyncio.create_task(grow())
    try:
        for _ in range(3):
            found = await ids(client, task="add", limit=100)
            assert len(found) == len(set(found)) == 300
            assert set(found) <= before
    finally:
        enough.set()
        await growing


async def test_a_page_looks_at_much_in_few_steps(client: JobsClient, jobs: ContractJobs, broker: redis.Redis) -> None:
    await jobs.add.enqueue_many([{"a": n} for n in range(1000)])
    steps: list[int] = []
    for _ in range(5):  # workers of other databases look for messages meanwhile
        before = broker.info("commandstats")
        await page(client, task="no such task", limit=1)
        after = broker.info("commandstats")
        steps.append(after["cmdstat_zrange"]["calls"] - before.get("cmdstat_zrange", {"calls": 0})["calls"])
    assert min(steps) <= 10


async def test_large_arguments_do_not_make_a_page_slow(
    client: JobsClient, jobs: ContractJobs, broker: redis.Redis
) -> None:
    """They are not shown, so they are not fetched."""
    await jobs.app.client.enqueue_many([jobs.fail.call("x" * 900_000) for _ in range(20)])
    before = broker.info("stats")["total_net_output_bytes"]
    assert len((await page(client, limit=60))[0]) == 20
    assert broker.info("stats")["total_net_output_bytes"] - before < 900_000


async def test_a_job_whose_record_has_expired_is_left_out(
    client: JobsClient, jobs: ContractJobs, broker: redis.Redis
) -> None:
    gone, there = await jobs.add.enqueue(1), await jobs.add.enqueue(2)
    broker.delete(f"celeriac:job:{gone.id}")
    assert await ids(client) == [there.id]


async def test_a_page_after_the_end_is_empty(client: JobsClient, jobs: ContractJobs) -> None:
    await jobs.add.enqueue(1)
    assert await page(client, cursor="0_0") == ([], None)
