"""Why a queue, and not BackgroundTasks: six reasons, each shown on the whole stack with real processes.

One stack for all of them: broker, API, a worker of two processes, beat and Flower.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
from collections.abc import AsyncGenerator, Awaitable
from datetime import datetime
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import STARTS, Stack
from tests.support.clock import fair_clock
from tests.support.jobs_client import JobsClient, problem
from tests.support.waiting import eventually

FLOWER_USER = ("watch", "what the workers do")

STACK_OPTIONS = ["-A", "tests.support.six_reasons:app", "--api", "tests.support.six_reasons:api", "--concurrency", "2"]
STACK_VARIABLES = {"CELERIAC_LEASE": "2", "CELERIAC_FLOWER_AUTH": ":".join(FLOWER_USER)}

PROMISED = 2.0  # seconds within which the API says that the broker is away
MARGIN = 1.0


@pytest.fixture
async def client(stack: Stack) -> AsyncGenerator[JobsClient]:
    async with httpx2.AsyncClient(base_url=stack.address("api"), timeout=20) as http:
        yield JobsClient(http)


#: Seconds of computing.
BURN = 1.6


# Reason 1: heavy work outside of the API's process


async def test_heavy_work_runs_elsewhere_and_leaves_the_api_responsive(client: JobsClient, stack: Stack) -> None:
    """The same function, as jobs and as background tasks, while the API is asked again and again."""
    api_pid = (await client.http.get("/ping")).json()["pid"]
    before = await computed(client)
    jobs = [await client.submit("burn", {"seconds": BURN / 4}) for _ in range(4)]
    await answers(client, asyncio.gather(*(followed(client, job) for job in jobs)))
    with_jobs = await computed(client) - before
    for job in jobs:
        assert (await client.get(f"/{job['id']}/result")).json()["result"] != api_pid

    before = await computed(client)
    for _ in jobs:
        await client.http.post("/background/burn", params={"seconds": BURN / 4})
    await answers(client, eventually(lambda: len(stack.notes("background")) == len(jobs)))
    with_background_tasks = await computed(client) - before
    assert {note["burnt_in"] for note in stack.notes("background")} == {api_pid}
    assert with_jobs < BURN / 2 < BURN <= with_background_tasks


async def computed(client: JobsClient) -> float:
    """Seconds for which the API's process has computed."""
    return float((await client.http.get("/ping")).json()["cpu"])


async def answers(client: JobsClient, until: Awaitable[Any]) -> None:
    """See that the API answers, again and again, until something has happened."""
    happened = asyncio.ensure_future(until)
    while not happened.done():
        assert (await client.http.get("/ping")).status_code == 200
        await asyncio.sleep(0.05)
    await happened


async def followed(client: JobsClient, job: dict[str, Any]) -> None:
    """Wait for the end of a job, without asking again and again."""
    async for _ in client.events(job["id"]):
        pass


# Reason 2: retries, with exponential backoff and jitter


async def test_what_fails_is_tried_again_later_and_later_and_never_in_step(client: JobsClient, stack: Stack) -> None:
    from tests.support.six_reasons import BACKOFF  # not on top: it makes an application and its API

    jobs = [await client.submit("call-supplier", {"error": "reset"}) for _ in range(6)]
    for job in jobs:
        done = await client.finished(job["id"])
        assert (done["state"], done["attempt"], done["error"]["type"]) == ("failed", 4, "ConnectionResetError")
    waits = [delays(stack.notes(job["id"])) for job in jobs]
    for first, second, third in waits:
        assert first >= 0.5 * BACKOFF.backoff
        assert second >= 0.5 * BACKOFF.backoff * BACKOFF.factor
        assert third >= 0.5 * BACKOFF.backoff * BACKOFF.factor**2
    # A busy machine adds to a wait, and never takes from it.
    assert min(first for first, _, _ in waits) < min(third for _, _, third in waits), "exponential"
    last = sorted(third for _, _, third in waits)
    assert last[-1] - last[0] > 0.1, "spread by jitter"


def delays(notes: list[dict[str, Any]]) -> list[float]:
    times = [note["at"] for note in notes]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize("error", ["refused", "bug"])
async def test_what_will_not_get_better_is_not_tried_again(client: JobsClient, stack: Stack, error: str) -> None:
    job = await client.submit("call-supplier", {"error": error})
    assert (await client.finished(job["id"]))["attempt"] == 1
    assert len(stack.notes(job["id"])) == 1


# Reason 3: scheduled jobs


async def test_jobs_run_on_schedule(client: JobsClient, stack: Stack) -> None:
    """beat's clock is set ahead, so that a full minute comes soon; the jobs run by the real one."""
    cron = await eventually(lambda: stack.notes("cron"), "the minute's job has run")
    assert (cron[0]["at"] + cron[0]["ahead"]) % 60 < 30, "past the minute"
    interval = await eventually(lambda: stack.notes("interval")[4:] and stack.notes("interval"), "five intervals")
    assert {note["pid"] for note in cron + interval}.isdisjoint(
        {stack.pid(" beat "), stack.pid("celeriac.launch.programs.serve")}
    )
    listed = (await client.get("", params={"task": "tick", "limit": 200})).json()["jobs"]
    enqueued = sorted(datetime.fromisoformat(job["created_at"]).timestamp() for job in listed)
    assert statistics.median(later - earlier for earlier, later in itertools.pairwise(enqueued)) > 0.4


# Reason 4: parallel workers


async def test_jobs_run_in_parallel_in_the_worker(client: JobsClient, stack: Stack) -> None:
    jobs = [await client.submit("work", {"seconds": 0.3}) for _ in range(6)]
    for job in jobs:
        await client.finished(job["id"])
    spans = sorted(span(stack.notes(job["id"])) for job in jobs)
    api_pid = (await client.http.get("/ping")).json()["pid"]
    assert api_pid not in {pid for _, _, pid in spans}
    at_once = [sum(other[0] <= one[0] < other[1] for other in spans) for one in spans]
    assert max(at_once) == 2, "as many at a time as it was started for"


def span(notes: list[dict[str, Any]]) -> tuple[float, float, int]:
    begin, end = notes
    assert (begin["step"], end["step"], begin["pid"]) == ("begin", "end", end["pid"])
    return begin["at"], end["at"], begin["pid"]


# Reason 5: isolation


async def test_the_api_outlives_worker_and_broker_and_loses_nothing(client: JobsClient, stack: Stack) -> None:
    begun = [await client.submit("work", {"seconds": 2}) for _ in range(2)]
    queued = [await client.submit("work", {"seconds": 0}) for _ in range(5)]
    for job in begun:
        await eventually(lambda job=job: stack.notes(job["id"]))
    stack.hold_restarts()
    try:
        os.kill(stack.worker(), signal.SIGKILL)
        queued += [await client.submit("work", {"seconds": 0}) for _ in range(5)]
        assert (await client.job(queued[0]["id"]))["state"] == "queued", "without a worker, the API goes on"
        assert await is_ready(client)
        stack.kill("valkey")
        await assert_that_it_says_so(client, queued[0]["id"])
    finally:
        stack.resume_restarts()
    await eventually(lambda: is_ready(client), "the API is ready again", within=STARTS)
    for job in begun + queued:
        assert (await client.finished(job["id"]))["state"] == "succeeded"
    for job in queued:
        assert [note["step"] for note in stack.notes(job["id"])] == ["begin", "end"], "once"
    for job in begun:
        assert [note["step"] for note in stack.notes(job["id"])] == ["begin", "begin", "end"], "once more"
    assert (await client.submit("work", {"seconds": 0}))["task"] == "work"


async def is_ready(client: JobsClient) -> bool:
    return (await client.http.get("/health/ready")).status_code == 200


async def assert_that_it_says_so(client: JobsClient, job_id: str) -> None:
    """Without its broker, the API refuses in time what it cannot do, and lives."""
    for method, path in (("POST", "/work"), ("GET", f"/{job_id}"), ("POST", f"/{job_id}/cancel"), ("GET", "")):
        with fair_clock() as clock:
            body = {"seconds": 0} if method == "POST" else None
            answer = await client.http.request(method, f"/jobs{path}", json=body)
            assert clock() < PROMISED + MARGIN
        problem(answer, 503, "broker-unavailable")
        assert answer.headers["retry-after"] == "1"
    problem(await client.http.get("/health/ready"), 503, "broker-unavailable")
    assert (await client.http.get("/health/live")).status_code == 200


# Reason 6: monitoring


async def test_flower_shows_what_became_of_each_job(client: JobsClient, stack: Stack) -> None:
    succeeded = await client.submit("celeriac.echo", {"value": 1})
    failed = await client.submit("celeriac.echo", {"fail": "no stock"})
    retried = await client.submit("wait-for-supplier")
    cancelled = await client.submit("celeriac.echo", {"seconds": 60})
    await client.reached(cancelled["id"], "running")
    await client.post(f"/{cancelled['id']}/cancel")
    expected = {
        succeeded["id"]: "SUCCESS",
        failed["id"]: "FAILURE",
        retried["id"]: "RETRY",
        cancelled["id"]: "REVOKED",
    }
    async with httpx2.AsyncClient(base_url=stack.address("flower"), auth=FLOWER_USER) as flower:

        async def seen() -> dict[str, str]:
            tasks = (await flower.get("/api/tasks", params={"limit": 1000})).json()
            return {job_id: tasks[job_id]["state"] for job_id in expected if job_id in tasks}

        async def as_expected() -> bool:
            return await seen() == expected

        try:
            await eventually(as_expected, within=STARTS)
        except AssertionError:
            assert await seen() == expected  # says what is different
        task = (await flower.get(f"/api/task/info/{failed['id']}")).json()
        assert "no stock" in task["exception"]
    await client.post(f"/{retried['id']}/cancel")


async def test_flower_asks_who_is_there(stack: Stack) -> None:
    async with httpx2.AsyncClient(base_url=stack.address("flower")) as flower:
        for path in ("/", "/api/tasks", "/api/workers"):
            assert (await flower.get(path)).status_code == 401
            assert (await flower.get(path, auth=("watch", "wrong"))).status_code == 401
