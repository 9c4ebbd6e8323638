"""A job's events over HTTP: in order, resumable, and gone without a trace when the client goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import redis
from pydantic import SecretStr

from celeriac import Settings
from celeriac.http import sse
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, ApiServer, api_of, serving
from tests.support.broker import fragile_broker
from tests.support.contract_jobs import ContractJobs
from tests.support.jobs_client import JobsClient, problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def gate() -> str:
    return uuid4().hex


async def all_events(client: JobsClient, job_id: str, after: str | None = None) -> list[httpx2.ServerSentEvent]:
    async with asyncio.timeout(20):
        return [event async for event in client.events(job_id, after)]


async def read(stream: AsyncGenerator[httpx2.ServerSentEvent], until: dict[str, Any]) -> list[httpx2.ServerSentEvent]:
    """Events of a stream up to the first whose data contains `until`."""
    events: list[httpx2.ServerSentEvent] = []
    async with asyncio.timeout(20):
        async for event in stream:
            events.append(event)
            if until.items() <= event.json().items():  # type: ignore[attr-defined]
                return events
    raise AssertionError(f"the stream ended before {until}: {events}")


def data(events: list[httpx2.ServerSentEvent]) -> list[tuple[str, Any]]:
    return [(event.event, event.json()) for event in events]


def number(event: httpx2.ServerSentEvent) -> tuple[int, ...]:
    return tuple(map(int, event.id.split("-")))


async def test_a_job_s_life_is_told_in_order(client: JobsClient) -> None:
    view = await client.submit("celeriac.echo", {"value": 1, "seconds": 0.3})
    events = await all_events(client, view["id"])
    assert data(events) == [
        ("state", {"state": "queued"}),
        ("state", {"state": "running", "attempt": 1}),
        ("progress", {"done": 0, "total": 0.3, "message": "waiting"}),
        ("progress", {"done": 0.3, "total": 0.3, "message": "done"}),
        ("state", {"state": "succeeded"}),
    ]
    assert [number(event) for event in events] == sorted({number(event) for event in events})


async def test_a_failure_is_told_with_its_cause(client: JobsClient) -> None:
    view = await client.submit("celeriac.echo", {"fail": "no paper"})
    last = (await all_events(client, view["id"]))[-1]
    assert last.json() == {"state": "failed", "error": {"type": "EchoFailed", "message": "no paper"}}


async def test_retries_are_told(client: JobsClient) -> None:
    view = await client.submit("flaky", {"failures": 1})
    states = [event.json()["state"] for event in await all_events(client, view["id"])]  # type: ignore[index]
    assert states == ["queued", "running", "retrying", "queued", "running", "succeeded"]


async def test_a_stream_is_made_for_streaming(client: JobsClient) -> None:
    view = await client.submit("add", {"a": 1})
    async with client.http.stream("GET", f"/jobs/{view['id']}/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        await stream.aread()


async def test_events_come_while_the_job_runs(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    view = await client.submit("count", {"steps": 2, "gate": gate})
    async with aclosing(client.events(view["id"])) as stream:
        await read(stream, {"done": 2})
        assert (await client.job(view["id"]))["state"] == "running"
        jobs.trace.open(gate)
        assert (await read(stream, {"state": "succeeded"}))[-1].event == "state"


async def test_two_clients_hear_the_same(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    view = await client.submit("count", {"steps": 2, "gate": gate})
    async with aclosing(client.events(view["id"])) as one, aclosing(client.events(view["id"])) as other:
        first = await asyncio.gather(read(one, {"done": 2}), read(other, {"done": 2}))
        jobs.trace.open(gate)
        rest = await asyncio.gather(*(read(stream, {"state": "succeeded"}) for stream in (one, other)))
    assert first[0] == first[1]
    assert rest[0] == rest[1]


async def test_a_stream_resumes_after_any_event_without_loss_or_repeat(client: JobsClient) -> None:
    view = await client.submit("count", {"steps": 5})
    events = await all_events(client, view["id"])
    assert len(events) >= 4
    for position, event in enumerate(events[:-1]):
        assert await all_events(client, view["id"], after=event.id) == events[position + 1 :]


async def test_what_happened_while_nobody_listened_is_told_on_return(
    client: JobsClient, jobs: ContractJobs, gate: str
) -> None:
    view = await client.submit("count", {"steps": 3, "gate": gate})
    async with aclosing(client.events(view["id"])) as stream:
        before = await read(stream, {"state": "running"})
    jobs.trace.open(gate)
    await client.finished(view["id"])
    after = await all_events(client, view["id"], after=before[-1].id)
    assert before + after == await all_events(client, view["id"])


async def test_a_client_that_has_heard_all_is_told_not_to_come_back(client: JobsClient) -> None:
    view = await client.submit("celeriac.echo", {"fail": "x"})
    last = (await all_events(client, view["id"]))[-1]
    answer = await client.get(f"/{view['id']}/events", headers={"Last-Event-ID": last.id})
    assert (answer.status_code, answer.content) == (204, b"")
    await client.post(f"/{view['id']}/retry")
    more = await all_events(client, view["id"], after=last.id)
    assert [event.json()["state"] for event in more] == ["queued", "running", "failed"]  # type: ignore[index]


async def test_an_event_that_is_not_yet_can_be_waited_after(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    """An id from another server's clock, say: the stream stays open and ends with the job."""
    view = await client.submit("hold", {"gate": gate})
    await client.reached(view["id"], "running")
    headers = {"Last-Event-ID": "9" * 15 + "-0"}
    async with asyncio.timeout(20), client.http.stream("GET", f"/jobs/{view['id']}/events", headers=headers) as stream:
        assert stream.status_code == 200, "the job still runs: with its end, the answer would be 204"
        jobs.trace.open(gate)
        assert [event async for event in httpx2.EventSource(stream)] == []


async def test_a_client_that_leaves_leaves_nothing_behind(
    client: JobsClient, jobs: ContractJobs, api: ApiServer, store: redis.Redis, gate: str
) -> None:
    view = await client.submit("hold", {"gate": gate})
    channel = f"celeriac:events:{view['id']}"
    tasks = len(api.tasks())
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60, base_url=api.url) as leaving:
        streams = [JobsClient(leaving).events(view["id"]) for _ in range(10)]
        await asyncio.gather(*(read(stream, {"state": "running"}) for stream in streams))
        assert store.pubsub_numsub(channel) == [(channel.encode(), 1)], "one subscription serves them all"
        assert len(api.tasks()) > tasks
        for stream in streams[:9]:
            await stream.aclose()
        assert (await client.job(view["id"]))["state"] == "running"
        jobs.trace.open(gate)
        await read(streams[9], {"state": "succeeded"})  # the others' leaving has not disturbed it
        await streams[9].aclose()
    await eventually(lambda: store.pubsub_numsub(channel) == [(channel.encode(), 0)], "the subscription has ended")
    await eventually(lambda: len(api.tasks()) <= tasks, "the tasks have ended")


async def test_a_client_that_leaves_a_silent_stream_is_noticed(
    client: JobsClient, jobs: ContractJobs, api: ApiServer, store: redis.Redis
) -> None:
    later = await jobs.add.options(delay=3600).enqueue(1)
    channel = f"celeriac:events:{later.id}"
    async with aclosing(client.events(later.id)) as stream:
        await read(stream, {"state": "scheduled"})
        await eventually(lambda: store.pubsub_numsub(channel) == [(channel.encode(), 1)])
    await eventually(lambda: store.pubsub_numsub(channel) == [(channel.encode(), 0)], "the subscription has ended")
    await later.cancel()


async def test_a_silent_stream_is_kept_alive(
    client: JobsClient, jobs: ContractJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    later = await jobs.add.options(delay=3600).enqueue(1)
    async with asyncio.timeout(10), client.http.stream("GET", f"/jobs/{later.id}/events") as stream:
        lines = stream.aiter_lines()
        async for line in lines:
            if line == ": ping":
                break
    await later.cancel()


async def test_a_stream_goes_on_over_a_restart_of_the_broker(tmp_path: Path) -> None:
    async with fragile_broker(tmp_path) as broker:
        jobs = http_jobs.create(Settings(broker_url=SecretStr(broker.url), data_dir=tmp_path))
        with serving(api_of(jobs.app)) as server:
            async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as http:
                client = JobsClient(http)
                view = await client.submit("add", {"a": 1})
                other = await client.submit("add", {"a": 1})
                async with aclosing(client.events(view["id"])) as stream:
                    await read(stream, {"state": "queued"})
                    await broker.kill()
                    problem(await client.get(f"/{view['id']}/events"), 503, "broker-unavailable")
                    await broker.start()
                    async with aclosing(client.events(other["id"])) as late:  # through the same, new, connection
                        await read(late, {"state": "queued"})
                        assert (await client.post(f"/{other['id']}/cancel")).status_code == 200
                        await read(late, {"state": "cancelled"})
                    assert (await client.post(f"/{view['id']}/cancel")).status_code == 200
                    await read(stream, {"state": "cancelled"})
        jobs.app.close()
