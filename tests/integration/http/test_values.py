"""Numbers and texts that fast readers of JSON change: exact in bodies and results, or a problem with their place."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.contract_jobs import ContractJobs
from tests.support.jobs_client import JobsClient, problem
from tests.support.values import EXACT, spelt

pytestmark = pytest.mark.usefixtures("worker")


async def result_of(client: JobsClient, job_id: str) -> Any:
    await client.finished(job_id)
    answer = await client.get(f"/{job_id}/result")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["id"] == job_id
    return answer.json()["result"]


async def test_what_json_can_hold_is_submitted_and_answered_as_it_is(client: JobsClient) -> None:
    for value in EXACT:
        body = json.dumps({"value": value})
        answer = await client.post("/remember", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 202, answer.text
        assert spelt(await result_of(client, answer.json()["id"])) == spelt(value)


async def test_a_strict_argument_is_taken_as_json_has_it(client: JobsClient) -> None:
    payment = {
        "at": "2026-11-28T12:00:00Z",
        "id": "5b2b0ab1-3b0e-4a3b-9f3c-0d5a1f1a3f10",
        "amount": "1.10",
        "way": [1, 2],
    }
    answer = await client.post("/abide", json={"payment": payment, "at": "2026-11-28T12:00:00Z"})
    assert answer.status_code == 202, answer.text
    assert await result_of(client, answer.json()["id"]) == [payment, 2026]
    wrong = await client.post("/abide", json={"payment": {**payment, "at": 5}, "at": "today"})
    assert [error["loc"] for error in problem(wrong, 422, "invalid-request")["errors"]][-1] == ["body", "at"]


async def test_text_that_is_no_unicode_is_refused_with_its_place(client: JobsClient) -> None:
    body = problem(
        await client.post(
            "/remember", content=rb'{"value": {"items": ["\udcff"]}}', headers={"Content-Type": "application/json"}
        ),
        422,
        "invalid-request",
    )
    assert body["errors"][0]["loc"] == ["body", "value", "items", 0]


async def test_a_result_of_a_plain_task_is_answered_exactly_or_refused_with_its_place(
    client: JobsClient, jobs: ContractJobs
) -> None:
    shown = jobs.echo.delay({"file": "\udcff.txt", "n": 2**70, "none": None})
    assert await result_of(client, shown.id) == {"file": "\udcff.txt", "n": 2**70, "none": None}
    unspeakable = jobs.echo.delay({"items": [None, {"amount": float("nan")}]})
    await asyncio.to_thread(unspeakable.get, timeout=60)
    body = problem(await client.get(f"/{unspeakable.id}/result"), 422, "result-not-json")
    assert body["errors"][0]["loc"] == ["result", "items", 1, "amount"]
    assert "nan, a number that JSON does not have" in body["detail"]
