"""The job resource over HTTP: submit, look, list, result, cancel, retry."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import uuid4

import pytest
import redis

from tests.support.contract_jobs import ContractJobs
from tests.support.jobs_client import JobsClient, problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")

VIEW = {
    "id", "task", "queue", "state", "attempt", "progress", "error", "children", "parent_id", "cancel_requested",
    "created_at", "updated_at", "started_at", "finished_at", "delay_until",
}  # fmt: skip


@pytest.fixture
def gate() -> str:
    """A gate of the test's own, for jobs to be held at."""
    return uuid4().hex


async def test_a_submitted_job_is_accepted_where_its_location_says(client: JobsClient) -> None:
    answer = await client.post("/add", json={"a": 40, "b": 2})
    assert answer.status_code == 202
    view = answer.json()
    assert set(view) == VIEW
    assert answer.headers["location"] == f"/jobs/{view['id']}"
    assert view["task"] == "add"
    assert (await client.http.get(answer.headers["location"])).json()["id"] == view["id"]
    done = await client.finished(view["id"])
    assert (done["state"], done["attempt"], done["error"]) == ("succeeded", 1, None)
    times = [datetime.fromisoformat(done[name]) for name in ("created_at", "started_at", "finished_at")]
    assert times == sorted(times)


async def test_a_result_is_what_the_job_returned(client: JobsClient) -> None:
    view = await client.submit("celeriac.echo", {"value": {"deep": [1, "ä", None]}})
    await client.finished(view["id"])
    answer = await client.get(f"/{view['id']}/result")
    assert answer.status_code == 200
    assert answer.json() == {"id": view["id"], "result": {"deep": [1, "ä", None]}}


async def test_progress_shows_while_a_job_runs(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    view = await client.submit("count", {"steps": 3, "gate": gate})

    async def progress() -> dict[str, object] | None:
        seen = await client.job(view["id"])
        return seen["progress"] if seen["progress"] and seen["progress"]["done"] == 3 else None

    assert await eventually(progress) == {"done": 3, "total": 3, "message": "step 3"}
    assert (await client.job(view["id"]))["state"] == "running"
    jobs.trace.open(gate)
    await client.finished(view["id"])


async def test_a_job_that_runs_has_no_result_yet(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    view = await client.submit("hold", {"gate": gate})
    await client.reached(view["id"], "running")
    body = problem(await client.get(f"/{view['id']}/result"), 409, "wrong-state")
    assert "running" in body["detail"]
    jobs.trace.open(gate)
    await client.finished(view["id"])


async def test_a_failed_job_says_why_and_shows_no_traceback(client: JobsClient) -> None:
    view = await client.submit("celeriac.echo", {"fail": "out of paper"})
    done = await client.finished(view["id"])
    assert (done["state"], done["error"]) == ("failed", {"type": "EchoFailed", "message": "out of paper"})
    answer = await client.get(f"/{view['id']}/result")
    assert "out of paper" in problem(answer, 409, "job-failed")["detail"]
    assert "Traceback" not in answer.text


async def test_a_result_that_has_expired_is_unknown(client: JobsClient, store: redis.Redis) -> None:
    view = await client.submit("add", {"a": 1})
    await client.finished(view["id"])
    store.delete(f"celery-task-meta-{view['id']}")
    problem(await client.get(f"/{view['id']}/result"), 404, "unknown-job")
    store.delete(f"celeriac:job:{view['id']}")
    problem(await client.get(f"/{view['id']}"), 404, "unknown-job")


async def test_a_job_that_no_worker_has_taken_is_cancelled_at_once(client: JobsClient, jobs: ContractJobs) -> None:
    waiting = await jobs.add.options(delay=3600).enqueue(1)
    answer = await client.post(f"/{waiting.id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert (await client.post(f"/{waiting.id}/cancel")).status_code == 200, "cancelling twice is no error"
    problem(await client.get(f"/{waiting.id}/result"), 409, "job-cancelled")


async def test_a_running_job_is_asked_to_stop(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    view = await client.submit("hold", {"gate": gate})
    await client.reached(view["id"], "running")
    answer = await client.post(f"/{view['id']}/cancel")
    assert answer.json()["cancel_requested"]
    assert answer.status_code == (200 if answer.json()["state"] == "cancelled" else 202), "unless it has stopped by now"
    assert (await client.finished(view["id"]))["state"] == "cancelled"
    problem(await client.get(f"/{view['id']}/result"), 409, "job-cancelled")
    assert "cancelled" in await eventually(lambda: jobs.trace.of(view["id"])[1:])


async def test_a_finished_job_cannot_be_cancelled(client: JobsClient) -> None:
    view = await client.submit("add", {"a": 1})
    await client.finished(view["id"])
    assert "succeeded" in problem(await client.post(f"/{view['id']}/cancel"), 409, "wrong-state")["detail"]


async def test_a_failed_job_can_be_run_again(client: JobsClient) -> None:
    view = await client.submit("celeriac.echo", {"fail": "once more"})
    await client.finished(view["id"])
    answer = await client.post(f"/{view['id']}/retry")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/jobs/{view['id']}")
    assert answer.json()["state"] in ("queued", "running", "failed")
    done = await client.finished(view["id"])
    assert (done["id"], done["state"], done["attempt"]) == (view["id"], "failed", 1)


async def test_a_job_that_succeeded_or_runs_is_not_run_again(client: JobsClient, jobs: ContractJobs, gate: str) -> None:
    view = await client.submit("hold", {"gate": gate})
    await client.reached(view["id"], "running")
    assert "running" in problem(await client.post(f"/{view['id']}/retry"), 409, "wrong-state")["detail"]
    jobs.trace.open(gate)
    await client.finished(view["id"])
    assert "succeeded" in problem(await client.post(f"/{view['id']}/retry"), 409, "wrong-state")["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")],
)
async def test_an_id_that_was_never_enqueued_is_unknown(client: JobsClient, method: str, path: str) -> None:
    answer = await client.http.request(method, f"/jobs/{uuid4()}{path}")
    problem(answer, 404, "unknown-job")


async def test_a_job_without_arguments_needs_no_body(client: JobsClient) -> None:
    answer = await client.post("/nothing")
    assert answer.status_code == 202
    assert (await client.finished(answer.json()["id"]))["state"] == "succeeded"


@pytest.mark.parametrize(
    ("what", "state", "message"),
    [
        ("progress", "failed", "progress: done=nan is not a finite number"),
        ("progress text", "succeeded", None),
        ("failure", "failed", r"M\udcfcnchen"),
        ("text", "failed", "cannot be sent as JSON: text that is not Unicode, with the lone surrogate"),
        ("integer", "succeeded", None),
        ("number", "failed", "cannot be sent as JSON: nan, a number that JSON does not have"),
    ],
)
async def test_what_json_has_no_word_for_breaks_nothing(
    client: JobsClient, what: str, state: str, message: str | None
) -> None:
    view = await client.submit("odd", {"what": what})
    done = await client.finished(view["id"])
    assert (done["state"], done["error"] is None) == (state, message is None)
    assert message is None or message in done["error"]["message"]
    assert (await client.get(f"/{view['id']}/result")).status_code == (200 if state == "succeeded" else 409)
    assert view["id"] in {job["id"] for job in (await client.get("", params={"task": "odd"})).json()["jobs"]}
    events = [event async for event in client.events(view["id"])]
    assert events[-1].json()["state"] == state  # type: ignore[index]


async def test_a_large_integer_is_the_same_when_the_job_is_run_again(client: JobsClient, jobs: ContractJobs) -> None:
    view = await client.submit("celeriac.echo", {"value": 10**30, "fail": "once"})
    await client.finished(view["id"])
    await client.post(f"/{view['id']}/retry")
    record = await jobs.app.client.get(view["id"])
    assert record.arguments == {"value": 10**30, "fail": "once"}


async def test_the_arguments_of_two_requests_at_once_do_not_mix(client: JobsClient) -> None:
    views = await asyncio.gather(*(client.submit("celeriac.echo", {"value": n}) for n in range(40)))
    assert len({view["id"] for view in views}) == 40
    for n, view in enumerate(views):
        await client.finished(view["id"])
        assert (await client.get(f"/{view['id']}/result")).json()["result"] == n


async def test_an_error_of_megabytes_makes_no_answer_of_megabytes(client: JobsClient) -> None:
    job = await client.submit("break_oddly", {"way": "huge"})
    done = await client.finished(job["id"])
    assert done["state"] == "failed"
    assert "9,99" in done["error"]["message"]
    assert "characters cut" in done["error"]["message"]
    for path in ("?limit=5", f"/{job['id']}", f"/{job['id']}/result"):
        answer = await client.get(path)
        assert "characters cut" in answer.text
        assert len(answer.content) < 50_000
