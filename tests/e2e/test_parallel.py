"""Reason 4 for Celery over background tasks, once more: workers in parallel are processes of their own."""

from __future__ import annotations

import itertools

import httpx2
import pytest

from tests.e2e.conftest import Stack
from tests.support.jobs_client import JobsClient

STACK_OPTIONS = ["-A", "tests.support.six_reasons:app", "--api", "tests.support.six_reasons:api"]
STACK_OPTIONS += ["--shards", "2", "--concurrency", "1"]
STACK_VARIABLES = {"CELERIAC_LEASE": "2"}


@pytest.mark.slow
async def test_jobs_run_in_parallel_on_the_workers_processes(stack: Stack) -> None:
    async with httpx2.AsyncClient(base_url=stack.address("api"), timeout=20) as http:
        client = JobsClient(http)
        jobs = [await client.submit("work", {"seconds": 0.3}) for _ in range(6)]
        for job in jobs:
            await client.finished(job["id"])
    notes = [stack.notes(job["id"]) for job in jobs]
    spans = sorted((begin["at"], end["at"], begin["pid"]) for begin, end in notes)
    assert len({pid for _, _, pid in spans}) == 2
    overlapping = [(one, other) for one, other in itertools.combinations(spans, 2) if other[0] < one[1]]
    assert overlapping, "two at a time"
    assert all(one[2] != other[2] for one, other in overlapping), "and one at a time in each process"
