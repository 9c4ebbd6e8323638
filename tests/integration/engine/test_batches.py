"""What the asyncio worker asks, and writes, for many jobs at a time: a fault of one of them is that one's alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
import redis
from redis.exceptions import DataError

from celeriac.core.states import JobState
from celeriac.engine.aio.beginnings import Beginnings
from celeriac.engine.aio.endings import Delivery, Endings
from celeriac.store import keys
from celeriac.store.jobs.beginnings import Beginning, begin
from celeriac.store.jobs.transitions import Publication, Transition
from celeriac.store.messages import taking
from celeriac.store.messages.deliveries import PlainResult
from celeriac.store.messages.taking import Source
from celeriac.store.redis.connection import connect
from celeriac.store.redis.pipeline import Pipeline


@pytest_asyncio.fixture
async def pipeline(broker_url: str) -> AsyncGenerator[Pipeline]:
    client = connect(broker_url, timeout=5)
    yield Pipeline(client)
    await client.aclose()


def beginning(job_id: Any) -> Beginning:
    return Beginning(job_id=job_id, task="send", queue="mail", worker="w", receipt="", retention_ms=60_000)


@pytest.mark.parametrize("job_id", [None, True, [], "\udcff"], ids=ascii)
async def test_a_job_of_which_nothing_can_be_asked_keeps_no_other_from_beginning(
    pipeline: Pipeline, job_id: Any
) -> None:
    beginnings = Beginnings(pipeline)
    asked = [beginnings.ask(beginning(each)) for each in ("a", job_id, "b")]
    async with asyncio.timeout(10):
        with pytest.raises(DataError):
            await asked[1]
        assert [(await asked[n]).verdict for n in (0, 2)] == ["run", "run"]


@pytest.mark.parametrize("job_id", [None, True, [], "\udcff"], ids=ascii)
async def test_a_job_whose_end_cannot_be_written_keeps_no_other_from_ending(
    pipeline: Pipeline, broker: redis.Redis, job_id: Any
) -> None:
    broker.lpush("mail", "a", "culprit", "b")
    source = Source("mail", ["mail"])
    await pipeline.run(taking.take([source], worker="w", receipt="w/1", count=3, lease_ms=60_000))
    ended: list[str] = []
    endings, asking = Endings(pipeline, "w", ended.append), Beginnings(pipeline)
    held = [Delivery(f"w/{n}", "mail", each, pipeline, asking) for n, each in ((1, "a"), (2, job_id), (3, "b"))]
    for delivery in held:
        state = JobState.SUCCEEDED
        delivery.ending.end = Transition(job_id=delivery.task_id, state=state, task="send", retention_ms=60_000)
        endings.finish(delivery)
    async with asyncio.timeout(10):
        await endings.written()
    assert sorted(ended) == ["w/1", "w/2", "w/3"]
    assert [broker.hget(keys.record(each), "state") for each in ("a", "b")] == [b"succeeded", b"succeeded"]
    assert broker.exists(keys.held("w")) == 0
    [(_, letter)] = broker.xrange(keys.DEAD)  # type: ignore[misc]
    assert letter[b"message"] == b"culprit"
    assert letter[b"cause"].startswith(b"its outcome cannot be written: ")
    assert b"DataError" in letter[b"cause"]


async def test_a_success_that_is_written_is_not_written_again_for_the_fault_of_another(
    pipeline: Pipeline, broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    broker.lpush("mail", "a", "culprit")
    source = Source("mail", ["mail"])
    await pipeline.run(taking.take([source], worker="w", receipt="w/1", count=2, lease_ms=60_000))
    endings, asking = Endings(pipeline, "w", lambda _: None), Beginnings(pipeline)
    culprit: Any = None
    first = Delivery("w/1", "mail", "a", pipeline, asking, began_at_once=True)
    second = Delivery("w/2", "mail", culprit, pipeline, asking)
    for delivery in (first, second):
        state = JobState.SUCCEEDED
        delivery.ending.end = Transition(job_id=delivery.task_id, state=state, task="send", retention_ms=60_000)
        endings.finish(delivery)
    async with asyncio.timeout(10):
        await endings.written()
    assert broker.hget(keys.record("a"), "state") == b"succeeded"
    assert broker.xlen(keys.DEAD) == 1
    assert "acknowledged too late" not in caplog.text


@pytest.mark.parametrize("kept", ["record", "result"])
async def test_a_job_whose_end_cannot_be_written_has_failed_for_all_who_wait_for_it(
    pipeline: Pipeline, broker: redis.Redis, kept: str
) -> None:
    broker.lpush("mail", "culprit")
    await pipeline.run(taking.take([Source("mail", ["mail"])], worker="w", receipt="w/1", count=1, lease_ms=60_000))
    asked = Beginning(job_id="a", task="send", queue="mail", worker="w", receipt="w/1", retention_ms=60_000)
    await pipeline.run(begin([asked]))
    endings = Endings(pipeline, "w", lambda _: None)
    delivery = Delivery("w/1", "mail", "a", pipeline, Beginnings(pipeline))
    unwritable: Any = ["no text"]
    if kept == "record":
        delivery.ending.end = Transition(
            job_id="a", state=JobState.SUCCEEDED, outcome=b"{}", task="send", retention_ms=60_000
        )
        delivery.ending.publications.append(Publication("mail", "mail", unwritable, None))
    else:
        delivery.ending.end = PlainResult(keys.result("a"), unwritable, 60_000)
    endings.finish(delivery)
    async with asyncio.timeout(10):
        await endings.written()
    [(_, letter)] = broker.xrange(keys.DEAD)  # type: ignore[misc]
    assert letter[b"cause"].startswith(b"its outcome cannot be written: ")
    outcome = json.loads(broker.get(keys.result("a")) or b"null")
    assert (outcome["status"], outcome["result"]["exc_type"]) == ("FAILURE", "OutcomeNotStored")
    if kept == "record":
        assert broker.hget(keys.record("a"), "state") == b"failed"
    assert broker.exists(keys.held("w")) == 0


@pytest.mark.parametrize("what", ["list", "delayed messages", "record"])
async def test_a_message_whose_end_meets_a_key_of_another_type_is_a_dead_letter_and_loses_no_other(
    pipeline: Pipeline, broker: redis.Redis, what: str
) -> None:
    broker.lpush("mail", "a", "culprit", "b")
    source = Source("mail", ["mail"])
    await pipeline.run(taking.take([source], worker="w", receipt="w/1", count=3, lease_ms=60_000))
    asked = [
        Beginning(job_id=f"j{n}", task="send", queue="mail", worker="w", receipt=f"w/{n}", retention_ms=60_000)
        for n in (1, 2, 3)
    ]
    await pipeline.run(begin(asked))
    next_ones = [Publication("next", "next", b"first", None)]
    if what == "record":
        broker.delete(keys.record("j2"))
    broken = {"list": "broken", "delayed messages": keys.delayed("broken"), "record": keys.record("j2")}[what]
    broker.set(broken, "text")
    if what != "record":
        due = 9_999_999_999_999 if what == "delayed messages" else None
        next_ones.append(Publication("broken", "broken", b"second", due))
    endings = Endings(pipeline, "w", lambda _: None)
    for n in (1, 2, 3):
        delivery = Delivery(f"w/{n}", "mail", f"j{n}", pipeline, Beginnings(pipeline))
        delivery.ending.end = Transition(
            job_id=f"j{n}", state=JobState.SUCCEEDED, outcome=b"{}", task="send", retention_ms=60_000
        )
        delivery.ending.publications = next_ones if n == 2 else []
        endings.finish(delivery)
    async with asyncio.timeout(10):
        await endings.written()
    assert [broker.hget(keys.record(each), "state") for each in ("j1", "j3")] == [b"succeeded", b"succeeded"]
    [(_, letter)] = broker.xrange(keys.DEAD)  # type: ignore[misc]
    assert letter[b"message"] == b"culprit"
    assert b"WRONGTYPE" in letter[b"cause"]
    assert broker.exists(keys.held("w"), "next") == 0
    if what != "record":
        assert broker.hget(keys.record("j2"), "state") == b"failed"
