"""Tasks of typed jobs that are called without a worker, as Celery users do in their tests. There is no broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac import Celeriac, InvalidArguments, JobContext, JobTimedOut, Retry, Settings


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celeriac]:
    made = Celeriac("shop", settings=Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path))
    made.conf.task_always_eager = True
    yield made
    assert not [thread for thread in threading.enumerate() if thread.name == "celeriac-lease"]


def test_delay_runs_an_async_and_a_def_job_at_once(app: Celeriac) -> None:
    @app.job(name="add")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    @app.job(name="add_sync")
    def add_sync(job: JobContext, a: int, b: int = 1) -> int:
        job.progress(1, 2, "goes nowhere")
        return a + b

    assert add.task.delay(40, b="2").get() == 42
    assert add_sync.task.apply(kwargs={"a": 1}).get() == 2
    assert add.task(1, 2) == 3


def test_arguments_are_validated(app: Celeriac) -> None:
    @app.job(name="add")
    async def add(a: int) -> int:
        return a

    with pytest.raises(InvalidArguments, match="a: Input should be a valid integer"):
        add.task.apply(kwargs={"a": "one"}).get()
    with pytest.raises(InvalidArguments):
        add.task("one")


def test_retries_follow_at_once(app: Celeriac) -> None:
    attempts: list[int] = []

    @app.job(name="flaky", retry=Retry(attempts=3, backoff=60))
    async def flaky(job: JobContext) -> str:
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise ConnectionError("try again")
        return "done"

    assert flaky.task.apply().get() == "done"
    assert attempts == [1, 2, 3]


def test_a_direct_call_raises_what_the_job_raises(app: Celeriac) -> None:
    @app.job(name="flaky", retry=Retry(attempts=3))
    async def flaky() -> None:
        raise ConnectionError("as it is")

    with pytest.raises(ConnectionError, match="as it is"):
        flaky.task()


def test_time_limits_hold(app: Celeriac) -> None:
    @app.job(name="late", timeout=0.05)
    def late() -> None:
        while True:
            pass

    with pytest.raises(JobTimedOut, match=r"exceeded its time limit of 0\.05 s"):
        late.task.apply().get()


def test_a_job_cannot_fan_out_without_a_worker(app: Celeriac) -> None:
    @app.job(name="child")
    async def child() -> None: ...

    @app.job(name="parent")
    async def parent(job: JobContext) -> None:
        await job.fan_out([child.call()])

    with pytest.raises(RuntimeError, match="job 'parent' fans out, which only works in a worker: enqueue it"):
        parent.task.apply().get()
