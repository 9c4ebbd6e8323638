"""`app.control.revoke`: heard by the workers that are there, and known to those that come later."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult, GroupResult
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from celeriac import JobState, Settings
from celeriac.store import keys
from celeriac.store.messages.revocations import LIFE_MS, remember
from celeriac.store.redis.runner import run_blocking
from tests.support import contract_jobs, plain_twins
from tests.support.contract_jobs import ContractJobs, Trace
from tests.support.fixtures import LEASE, StartWorker, worker_environment
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.workers import ROOT, Worker

pytestmark = pytest.mark.usefixtures("no_key_leaks")


#: How an application of stock Celery gets what one of ours has.
CONTROL = "celeriac.engine.control:Control"


@pytest.fixture
async def jobs(broker_url: str, tmp_path: Path) -> AsyncIterator[ContractJobs]:
    made = contract_jobs.create(Settings(broker_url=SecretStr(broker_url), data_dir=tmp_path, lease=LEASE))
    yield made
    await made.app.client.aclose()
    made.app.close()


@pytest.fixture
def plain(broker_url: str) -> Iterator[Celery]:
    with plain_twins.create(broker_url, set_as_current=False) as app:
        yield app
        app.backend.close()


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork", "threads"]))
async def test_a_revoked_task_is_not_run_by_workers_that_were_not_there(
    plain: Celery, start: StartWorker, broker_url: str, pool: str
) -> None:
    def start_one() -> Worker:
        environment = {"TWINS_URL": broker_url, "PLAIN_URL": broker_url}
        return start("", pool=pool, concurrency=1, application="tests.support.plain_twins", environment=environment)

    trace, gate, key = Trace(broker_url), uuid4().hex, uuid4().hex
    first = start_one()
    held = plain.tasks["def.hold"].delay(gate)
    await eventually(lambda: trace.of(held.id).count("begin") == 1, "the worker is busy")
    revoked = [plain.tasks["def.note"].delay(number, key) for number in range(3)]
    kept = plain.tasks["def.note"].delay(3, key)
    assert plain.control.revoke([result.id for result in revoked[:2]], reply=True)
    assert plain.control.revoke(revoked[2].id, reply=True)
    first.kill()
    second = start_one()
    trace.open(gate)
    assert kept.get(timeout=60) == key
    for result in revoked:
        second.wait_for_log(rf"Discarding revoked task: def\.note\[{result.id}\]")
        assert result.state == "REVOKED"
    assert trace.of(key) == ["note 3"]


Revoke = Callable[[AsyncResult], object]
REVOKE: dict[str, Revoke] = {
    "result": lambda result: result.revoke(),
    "result, terminating": lambda result: result.revoke(terminate=True),
    "group": lambda result: GroupResult("g", [result], app=result.app).revoke(),
    "control": lambda result: result.app.control.revoke([result.id]),
    "terminate": lambda result: result.app.control.terminate(result.id),
    "control revoke": lambda result: result.app.control.broadcast("revoke", {"task_id": [result.id]}),
    "control terminate": lambda result: result.app.control.broadcast("terminate", signal="TERM", task_id=result.id),
}


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork", "threads", "solo"]))
async def test_what_is_revoked_while_no_worker_is_up_is_not_run_by_one_that_starts(
    start: StartWorker, broker_url: str, pool: str
) -> None:
    with plain_twins.create(broker_url, set_as_current=False, control=CONTROL) as plain:
        trace, key = Trace(broker_url), uuid4().hex
        results = {way: plain.tasks["def.note"].delay(way, key) for way in REVOKE}
        for way, revoke in REVOKE.items():
            revoke(results[way])
        kept = plain.tasks["def.note"].delay("kept", key)
        environment = {"TWINS_URL": broker_url, "PLAIN_URL": broker_url}
        start("", pool=pool, concurrency=1, application="tests.support.plain_twins", environment=environment)
        assert await asyncio.to_thread(kept.get, timeout=60) == key
        for way, result in results.items():
            await eventually(lambda result=result: result.state == "REVOKED", way)
        assert trace.of(key) == ["note kept"]
        plain.backend.close()


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork", "threads", "solo"]))
async def test_what_an_application_of_ours_revokes_while_no_worker_is_up_is_cancelled(
    jobs: ContractJobs, start: StartWorker, pool: str
) -> None:
    key, trace = uuid4().hex, jobs.trace
    trace.open(key)
    plain = {way: jobs.hold_plainly.delay(key, key) for way in REVOKE}
    typed = {way: jobs.hold.task.delay(key) for way in REVOKE}
    for results in (plain, typed):
        for way, revoke in REVOKE.items():
            revoke(results[way])
    enqueued = await jobs.hold.enqueue(key)
    await enqueued.cancel()
    start("tests.support.contract_jobs", pool=pool)
    assert await (await jobs.add.enqueue(1, 2)).result(timeout=60) == 3
    for result in [*plain.values(), *typed.values(), jobs.app.AsyncResult(enqueued.id)]:
        record = await jobs.app.client.wait(result.id, timeout=60)
        assert (record.state, record.attempt) == (JobState.CANCELLED, 0)
        assert result.state == "REVOKED"
        assert trace.of(result.id) == []
    assert trace.of(key) == []


@pytest.mark.slow
def test_the_command_line_revokes_while_no_worker_is_up(broker: redis.Redis, broker_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tests.support.celery_main", "control", "revoke", "one", "two"]
    environment = worker_environment("tests.support.contract_jobs", broker_url, tmp_path)
    done = subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True)
    assert "No nodes replied" in done.stderr
    assert broker.zrange(keys.REVOKED, 0, -1) == [b"one", b"two"]


def test_revoking_fails_while_the_broker_is_away() -> None:
    away = "redis://127.0.0.1:1/0"
    with plain_twins.create(away, set_as_current=False, control=CONTROL) as plain, pytest.raises(OperationalError):
        plain.control.revoke("some id")


def test_an_application_on_another_broker_revokes_as_ever() -> None:
    with Celery("other", broker="memory://", control=CONTROL, set_as_current=False) as app:
        assert app.control.revoke("some id") is None


def test_the_newest_revocations_are_remembered_for_a_limited_time(broker: redis.Redis) -> None:
    broker.zadd(keys.REVOKED, {"long ago": 1})
    run_blocking(broker, remember(["one", "two"], most=3))
    assert broker.zrange(keys.REVOKED, 0, -1) == [b"one", b"two"]
    run_blocking(broker, remember(["u", "v"], most=3))
    assert broker.zcard(keys.REVOKED) == 3
    assert {b"u", b"v"} < {*broker.zrange(keys.REVOKED, 0, -1)}
    assert 0 < broker.pttl(keys.REVOKED) <= LIFE_MS
