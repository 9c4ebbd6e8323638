"""Every line that is logged in a job names it, in every pool, by whatever logger."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.conftest import TaskOf, Way
from tests.support.contract_jobs import ContractJobs
from tests.support.waiting import eventually, wait_until
from tests.support.workers import Worker

MANY = [str(number) for number in range(5)]


@pytest.mark.parametrize("form", ["speak", "speak_sync"])
async def test_a_line_logged_in_a_job_names_the_job_and_its_task(jobs: ContractJobs, worker: Worker, form: str) -> None:
    handles = await asyncio.gather(*(getattr(jobs, form).enqueue(value=value) for value in MANY))
    for handle, value in zip(handles, MANY, strict=True):
        line = f"] {form}[{handle.id}]: said {value}\n"
        await eventually(lambda line=line: line in worker.log, line)


def test_a_line_logged_in_a_task_of_plain_celery_names_it(task: TaskOf, plain_worker: Worker, way: Way) -> None:
    results = [task("speak").delay(value) for value in MANY]
    for result, value in zip(results, MANY, strict=True):
        line = f"] {way[1]}.speak[{result.id}]: said {value}\n"
        wait_until(lambda line=line: line in plain_worker.log, line)


async def test_celerys_own_lines_name_a_job_once(jobs: ContractJobs, worker: Worker) -> None:
    handle = await jobs.speak.enqueue(value="x")
    await handle.result(timeout=60)
    succeeded = f"Task speak[{handle.id}] succeeded"
    await eventually(lambda: succeeded in worker.log)
    (line,) = [line for line in worker.log.splitlines() if succeeded in line]
    assert line.count(handle.id) == 1
