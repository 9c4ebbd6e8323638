"""Tasks over their rate limit, in every pool: they are run at its pace, in their order, and hold up nothing else."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest
import redis
from celery import Celery

from celeriac import JobState
from celeriac.store import keys
from tests.contract.conftest import TaskOf, ways
from tests.support.contract_jobs import ContractJobs, Trace
from tests.support.fixtures import PATIENT
from tests.support.waiting import wait_until

WAIT = 60
POOLS = ways("asyncio", "solo", "prefork", "threads")
EVERY_WAY = pytest.mark.parametrize("way", POOLS, indirect=True, scope="session")


def limit(app: Celery, name: str, rate: str | int) -> None:
    app.control.rate_limit(name, rate, reply=True, timeout=PATIENT, limit=1)


@EVERY_WAY
def test_tasks_over_a_rate_limit_hold_up_no_others_and_come_in_their_order(
    task: TaskOf, plain: Celery, trace: Trace, plain_broker: redis.Redis
) -> None:
    limited, key = task("note"), uuid4().hex
    limit(plain, limited.name, "6/m")
    try:
        for number in range(150):  # more than any of the workers has places, and they would take 25 minutes
            limited.apply_async((number, key), ignore_result=True)
        assert [task("echo").delay(n).get(timeout=WAIT) for n in range(3)] == [0, 1, 2]
        wait_until(lambda: plain_broker.zcard(keys.delayed("celery")) >= 148, "they wait on the broker")
        assert len(trace.of(key)) <= 2
        limit(plain, limited.name, "50/s")  # those that wait hear of it
        wait_until(lambda: len(trace.of(key)) == 150, "all have run", within=WAIT)
        ran = [int(line.split()[1]) for line in trace.of(key)]
        assert sorted(ran) == list(range(150))
        # By and large, that is: several run at a time, and one that comes late on a busy machine has another turn.
        assert sum(abs(place - number) for place, number in enumerate(ran)) / 150 <= 10, ran
    finally:
        limit(plain, limited.name, 0)


async def test_a_task_over_its_rate_limit_is_queued_and_holds_up_no_typed_job(jobs: ContractJobs) -> None:
    app = jobs.app
    limit(app, "plain.double", "1/h")
    try:
        results = [jobs.double.delay(number) for number in range(20)]
        assert await asyncio.to_thread(results[0].get, timeout=WAIT) == 0
        assert [await (await jobs.add.enqueue(n)).result(timeout=WAIT) for n in range(3)] == [1, 2, 3]
        assert (await app.client.get(results[-1].id)).state is JobState.QUEUED
        await app.client.cancel(results[-1].id)
    finally:
        limit(app, "plain.double", 0)
    assert [await app.client.result(result.id, timeout=WAIT) for result in results[:-1]] == [2 * n for n in range(19)]
    assert (await app.client.get(results[-1].id)).state is JobState.CANCELLED


@EVERY_WAY
def test_a_rate_limit_is_kept_and_used_up(task: TaskOf, plain: Celery, trace: Trace) -> None:
    limited, key = task("note"), uuid4().hex
    limit(plain, limited.name, "10/s")
    try:
        began = time.monotonic()
        results = [limited.delay(number, key) for number in range(21)]
        assert [result.get(timeout=WAIT) for result in results] == [key] * 21
        assert time.monotonic() - began >= 1.9
    finally:
        limit(plain, limited.name, 0)


@EVERY_WAY
def test_tasks_that_wait_for_a_rate_limit_run_at_once_when_it_is_removed(
    task: TaskOf, plain: Celery, trace: Trace
) -> None:
    limited, key = task("note"), uuid4().hex
    limit(plain, limited.name, "1/h")
    try:
        for number in range(20):
            limited.apply_async((number, key), ignore_result=True)
        wait_until(lambda: trace.of(key), "the first has run")
    finally:
        limit(plain, limited.name, 0)
    wait_until(lambda: len(trace.of(key)) == 20, "all have run", within=WAIT)
    assert len(set(trace.of(key))) == 20
