"""What a type checker has to accept of `celeriac.testing`, and to refuse, as in `jobs.py`. Never run."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

from celeriac import Celeriac, JobContext
from celeriac.core.records import JobRecord, Progress
from celeriac.testing import InProcessJobs, RanJob, RunningWorker, in_process

app = Celeriac("typing")


@app.job
async def greet(name: str, times: int = 1) -> str: ...


@app.job
async def greet_with_context(job: JobContext, name: str) -> str: ...


@pytest.fixture(scope="session")
def celeriac_app() -> Celeriac:
    return app


async def test_right(celeriac_jobs: InProcessJobs, celeriac_worker: RunningWorker) -> None:
    handle = await greet.enqueue("Ann")
    assert_type(await handle.result(), str)
    ran = celeriac_jobs.of(handle.id)
    assert_type(ran, RanJob)
    assert_type(celeriac_jobs.all, list[RanJob])
    assert_type(ran.record, JobRecord)
    assert_type(ran.error, BaseException | None)
    assert_type(ran.retry_delays, list[float])
    assert_type(ran.progress, list[Progress])
    assert_type(ran.children, list[RanJob])
    assert_type(ran.result, Any)
    assert_type(celeriac_worker.log, str)
    with in_process(app) as jobs:
        assert_type(jobs, InProcessJobs)
    await greet("Ann", times=2)
    await greet_with_context("Ann")


async def test_wrong(celeriac_jobs: InProcessJobs) -> None:
    celeriac_jobs.of(7)  # error: reportArgumentType
    celeriac_jobs.of(handle_id="7")  # error: reportCallIssue
    with in_process("shop:app"):  # error: reportArgumentType
        await greet(7)  # error: reportArgumentType
        await greet_with_context("Ann", job=None)  # error: reportCallIssue
