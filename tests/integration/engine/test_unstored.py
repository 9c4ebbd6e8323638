"""Outcomes that cannot be stored: no message is acknowledged over them, and no job runs on in its record for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from celery import Celery

from celeriac.store import keys
from tests.contract.conftest import marks
from tests.support.fixtures import StartWorker
from tests.support.waiting import wait_until
from tests.support.workers import POOLS, Worker

APPLICATION = "tests.support.elsewhere_app"
#: A port on which nothing listens: "discard", which only root could open.
AWAY = "redis://127.0.0.1:9/0"
TASKS = {
    "plain": ["elsewhere.outlive", "elsewhere.outlive_async"],
    "class": ["elsewhere.outlive", "elsewhere.outlive_async", "elsewhere.outlive_typed"],
}
POOLS_AND_KINDS = [pytest.param(pool, kind, id=f"{pool}-{kind}", marks=marks(pool)) for pool in POOLS for kind in TASKS]
#: Seconds for which a worker tries to store an outcome that nothing will store.
BRIEF = 1.0
StartOne = Callable[..., Worker]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "results"
    made.mkdir()
    return made


@pytest.fixture
def start_one(start: StartWorker, broker_url: str) -> StartOne:
    def start_it(pool: str, kind: str, backend: str, patience: float | None = None) -> Worker:
        environment = {"ELSEWHERE_URL": broker_url, "ELSEWHERE_BACKEND": backend, "ELSEWHERE_CLASS": kind}
        if patience is not None:
            environment["ELSEWHERE_PATIENCE"] = str(patience)
        return start("unused", pool=pool, application=APPLICATION, environment=environment, concurrency=4)

    return start_it


@pytest.fixture
def producer(broker_url: str) -> Iterator[Celery]:
    with closing(Celery("producer", broker=broker_url, set_as_current=False)) as made:
        yield made


def letters(broker: redis.Redis) -> dict[str, str]:
    """The causes of dead letters, by the ids of their tasks."""
    entries = broker.xrange(keys.DEAD)
    return {json.loads(each[b"message"])["headers"]["id"]: each[b"cause"].decode() for _, each in entries}  # type: ignore


def names_of(pool: str, kind: str) -> list[str]:
    return [name for name in TASKS[kind] if pool == "asyncio" or name != "elsewhere.outlive_async"]


@pytest.mark.parametrize("backend", ["file", "redis"])
@pytest.mark.parametrize(("pool", "kind"), POOLS_AND_KINDS)
def test_a_task_whose_outcome_cannot_be_stored_is_a_dead_letter_and_its_job_has_failed(
    start_one: StartOne, producer: Celery, broker: redis.Redis, directory: Path, pool: str, kind: str, backend: str
) -> None:
    worker = start_one(pool, kind, f"file://{directory}" if backend == "file" else AWAY, BRIEF)
    sent = {
        producer.send_task(name, (str(directory),), {"fails": fails}).id
        for name in names_of(pool, kind)
        for fails in (False, True)
    }
    wait_until(lambda: letters(broker).keys() == sent, "all are dead letters", within=60)
    assert all("cannot be stored: " in cause for cause in letters(broker).values())
    for job_id in sent if kind == "class" else ():
        state, error = broker.hmget(keys.record(job_id), "state", "error")
        assert (state, json.loads(error)["type"]) == (b"failed", "OutcomeNotStored")
        if backend == "file":  # else results have no place on the broker
            assert json.loads(broker.get(keys.result(job_id)) or b"null")["status"] == "FAILURE"
    wait_until(lambda: not broker.keys("celeriac:held:*"), "nothing is held any more")
    assert worker.process.poll() is None


@pytest.mark.parametrize(("pool", "kind"), POOLS_AND_KINDS)
def test_an_outcome_is_stored_once_its_backend_is_back(
    start_one: StartOne, broker: redis.Redis, directory: Path, broker_url: str, pool: str, kind: str
) -> None:
    worker = start_one(pool, kind, f"file://{directory}")
    with closing(Celery("p", broker=broker_url, backend=f"file://{directory}", set_as_current=False)) as producer:
        result = producer.send_task("elsewhere.outlive", (str(directory),))
        worker.wait_for_log("cannot be stored yet")
        directory.mkdir()
        wait_until(result.ready, "its outcome is stored", within=60)
    assert letters(broker) == {}
    wait_until(lambda: not broker.keys("celeriac:held:*"), "it is acknowledged")


@pytest.mark.parametrize(
    ("pool", "kind"), [each for each in POOLS_AND_KINDS if each.values[0] in ("asyncio", "prefork")]
)
def test_a_task_that_ran_out_of_time_and_cannot_be_stored_is_a_dead_letter(
    start_one: StartOne, producer: Celery, broker: redis.Redis, directory: Path, pool: str, kind: str
) -> None:
    start_one(pool, kind, f"file://{directory}", BRIEF)
    sent = producer.send_task("elsewhere.overrun", (str(directory),)).id
    wait_until(lambda: letters(broker).keys() == {sent}, "it is a dead letter", within=60)
    if kind == "class":
        assert broker.hget(keys.record(sent), "state") == b"failed"
