"""What arrives in a queue: a job's data arrives as it was sent, and what cannot be run is kept and ends its job."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
import redis
from celery import Celery, chain, chord, group
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from celeriac import JobFailed, JobState, UnknownJob
from celeriac.client.handle import JobHandle
from celeriac.store.messages.dead_letters import DeadLetter, dead_letters, drop, replay
from celeriac.store.redis.connection import connect
from tests.contract.conftest import TaskOf
from tests.support.contract_jobs import ContractJobs
from tests.support.forgeries import NAMED, NAMELESS, UNDECODABLE, Forgery
from tests.support.waiting import eventually, wait_until
from tests.unit.engine.test_door_fuzz import changed, forged_messages, verdict

#: A queue that no worker serves: messages are taken out of it, and forged.
NOWHERE = "nowhere"
#: Data that looks like kombu's marks for what JSON does not know.
LIKE_MARKUP: list[Any] = [
    {"__type__": "money", "__value__": 5},
    {"__type__": "datetime", "__value__": "2026-11-28T10:00:00"},
    {"__type__": "datetime", "__value__": 5},
    [{"deep": [{"__type__": "bytes", "__value__": "x"}]}],
    {"__type__": [], "__value__": {"__type__": "uuid", "__value__": {"hex": "x"}}},
]


@pytest_asyncio.fixture
async def client(pool_url: str) -> AsyncGenerator[Redis]:
    connection = connect(pool_url, timeout=5)
    yield connection
    await connection.aclose()


@pytest_asyncio.fixture
async def plain_client(plain_url: str) -> AsyncGenerator[Redis]:
    connection = connect(plain_url, timeout=5)
    yield connection
    await connection.aclose()


async def kept(client: Redis, message: bytes) -> DeadLetter:
    """The dead letter of that message, byte for byte, as soon as there is one."""

    async def look() -> DeadLetter | None:
        return next(iter([letter async for letter in dead_letters(client) if letter.message == message]), None)

    return await eventually(look, f"a dead letter of {message[:500]!r}")


async def put(client: Any, message: bytes) -> None:
    await client.lpush("celery", message)


async def taken_out(client: Any) -> dict[str, Any]:
    return json.loads(await client.rpop(NOWHERE))


async def enqueued_nowhere(jobs: ContractJobs, client: Redis) -> tuple[JobHandle[Any], dict[str, Any]]:
    """A job that waits, and its message, which is in no queue any more."""
    handle = await jobs.remember.options(queue=NOWHERE).enqueue(1)
    return handle, await taken_out(client)


@pytest.mark.parametrize("value", LIKE_MARKUP, ids=str)
async def test_data_that_looks_like_markup_reaches_a_typed_job_and_comes_back_as_it_was(
    jobs: ContractJobs, value: Any
) -> None:
    assert await (await jobs.remember.enqueue(value)).result(timeout=60) == value


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_such_data_survives_a_retry_and_the_wait_for_children(jobs: ContractJobs, kind: str) -> None:
    assert await (await jobs.twin("carried", kind).enqueue(LIKE_MARKUP)).result(timeout=60) == LIKE_MARKUP


async def test_such_data_survives_celerys_publisher_and_what_only_celery_does(jobs: ContractJobs) -> None:
    for options in ({}, {"expires": 600}, {"stamped_headers": ["a"], "a": "b"}, {"compression": "gzip"}):
        result = jobs.remember.task.apply_async(kwargs={"value": LIKE_MARKUP[:1]}, **options)
        assert await jobs.app.client.result(result.id, timeout=60) == LIKE_MARKUP[:1]


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_such_data_is_what_a_typed_job_has_returned_to_celerys_readers(jobs: ContractJobs, kind: str) -> None:
    remember = jobs.twin("remember", kind).task

    async def get(result: Any) -> Any:
        return await asyncio.to_thread(result.get, timeout=60)

    each = [remember.si(value) for value in LIKE_MARKUP]
    assert [await get(remember.delay(value)) for value in LIKE_MARKUP] == LIKE_MARKUP
    assert await get(group(each)()) == LIKE_MARKUP
    assert await get(chain(each[0], remember.s(), remember.s())()) == LIKE_MARKUP[0]
    assert await get(chord(each, remember.s())()) == LIKE_MARKUP
    nested = await get(chord([group(each), remember.si(1)], remember.s())())  # in whichever order
    assert sorted(map(repr, nested)) == sorted(map(repr, [*LIKE_MARKUP, 1]))
    handle = await jobs.twin("remember", kind).enqueue(LIKE_MARKUP)
    assert await get(jobs.app.AsyncResult(handle.id)) == LIKE_MARKUP


async def test_what_celery_marks_for_a_typed_job_arrives_as_its_type(jobs: ContractJobs) -> None:
    """From the application itself, and from producers that know nothing of typed jobs."""
    due = datetime(2026, 11, 28, 10, tzinfo=UTC)
    invoice = {"lines": [{"article": "a"}], "due": due}
    result = jobs.remind.task.delay(invoice=invoice)
    known = await jobs.app.client.result(result.id, timeout=60)
    assert datetime.fromisoformat(known["due"]) == due + timedelta(days=1)
    with Celery("stock", broker=jobs.app.broker_address, set_as_current=False) as stock:
        sent = stock.send_task("remind", kwargs={"invoice": invoice})
    await eventually(lambda: known_to(jobs, sent.id))
    known = await jobs.app.client.result(sent.id, timeout=60)
    assert datetime.fromisoformat(known["due"]) == due + timedelta(days=1)
    assert await jobs.app.client.result(jobs.remember.task.delay(due).id, timeout=60) == "2026-11-28T10:00:00Z"


async def known_to(jobs: ContractJobs, job_id: str) -> bool:
    try:
        await jobs.app.client.get(job_id)
    except UnknownJob:
        return False
    return True


async def test_every_forged_message_of_a_job_is_kept_with_its_cause_and_ends_the_job(
    jobs: ContractJobs, client: Redis
) -> None:
    forged: dict[str, tuple[JobHandle[Any], bytes]] = {}
    for name, forge in NAMED.items():
        handle, message = await enqueued_nowhere(jobs, client)
        forged[name] = handle, forge(message)
        await put(client, forged[name][1])
    good = await jobs.add.enqueue(1)
    for name, (handle, message) in forged.items():
        with pytest.raises(JobFailed, match=r"InvalidMessage|NotRegistered|ContentDisallowed"):
            await handle.result(timeout=60)
        letter = await kept(client, message)
        assert letter.cause, name
        assert letter.job_id == handle.id, name
        assert await drop(client, letter)
    assert await good.result(timeout=60) == 2


async def test_every_forged_message_of_a_task_of_celerys_is_kept_with_its_cause_and_ends_the_job(
    jobs: ContractJobs, client: Redis
) -> None:
    forged: dict[str, tuple[Any, bytes]] = {}
    forgeries: dict[str, Forgery] = NAMED | UNDECODABLE
    for name, forge in forgeries.items():
        result = jobs.echo.apply_async(kwargs={"value": 1}, queue=NOWHERE)
        forged[name] = result, forge(await taken_out(client))
        await put(client, forged[name][1])
    assert await asyncio.to_thread(jobs.echo.delay(1).get, timeout=60) == 1
    for name, (result, message) in forged.items():
        with pytest.raises(JobFailed, match=r"InvalidMessage|NotRegistered|ContentDisallowed"):
            await jobs.app.client.result(result.id, timeout=60)
        letter = await kept(client, message)
        assert (bool(letter.cause), letter.job_id) == (True, result.id), name
        assert result.state == "FAILURE", name
        assert await drop(client, letter)


async def test_a_task_of_celerys_whose_message_was_refused_runs_when_it_is_replayed(
    jobs: ContractJobs, client: Redis
) -> None:
    result = jobs.echo.apply_async(kwargs={"value": 1}, queue=NOWHERE)
    message = await taken_out(client)
    forged = NAMED["retries text"](message)
    await put(client, forged)
    with pytest.raises(JobFailed, match=r"headers\.retries"):
        await jobs.app.client.result(result.id, timeout=60)
    letter = await kept(client, forged)
    assert await replay(client, dataclasses.replace(letter, message=json.dumps(message).encode()))
    assert await jobs.app.client.result(result.id, timeout=60) == 1


async def test_a_forged_message_does_not_end_a_task_of_celerys_that_runs(
    jobs: ContractJobs, client: Redis, pool: str
) -> None:
    gate = f"forged-plain-{id(client)}"
    result = jobs.hold_plainly.delay(gate, gate)
    await eventually(lambda: jobs.trace.of(gate) == ["start"])
    jobs.echo.apply_async((1,), queue=NOWHERE)
    message = await taken_out(client)
    message["headers"]["id"] = result.id
    forged = NAMED["args null"](message)
    await put(client, forged)
    if pool != "solo":  # which takes the other message after the job's end
        await kept(client, forged)
    assert (await jobs.app.client.get(result.id)).state is JobState.RUNNING
    jobs.trace.open(gate)
    assert await jobs.app.client.result(result.id, timeout=60) == gate
    assert await drop(client, await kept(client, forged))


async def test_every_message_that_names_no_job_is_kept_with_its_cause(jobs: ContractJobs, client: Redis) -> None:
    handle, message = await enqueued_nowhere(jobs, client)
    forged = {name: forge(message) for name, forge in NAMELESS.items()}
    for one in forged.values():
        await put(client, one)
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    for name, one in forged.items():
        letter = await kept(client, one)
        assert letter.cause, name
        assert letter.job_id == "", name
        assert await drop(client, letter)
    assert (await handle.status()).state is JobState.QUEUED  # of which none of them knew


async def test_a_job_whose_message_was_refused_runs_when_it_is_replayed(jobs: ContractJobs, client: Redis) -> None:
    """As once there is a worker that can read it; here the dead letter is put right."""
    handle, message = await enqueued_nowhere(jobs, client)
    forged = NAMED["retries text"](message)
    await put(client, forged)
    with pytest.raises(JobFailed, match=r"headers\.retries must be a number of retries; it is 'x'"):
        await handle.result(timeout=60)
    letter = await kept(client, forged)
    assert await replay(client, letter)
    again = await kept(client, forged)  # it is no better than before
    mended = DeadLetter(
        **{**{name: getattr(again, name) for name in again.__slots__}, "message": json.dumps(message).encode()}
    )
    assert await replay(client, mended)
    assert await handle.result(timeout=60) == 1


async def test_a_forged_message_does_not_end_a_job_that_runs(jobs: ContractJobs, client: Redis, pool: str) -> None:
    handle = await jobs.hold.enqueue(gate=(gate := f"forged-{id(client)}"))
    await eventually(lambda: jobs.trace.of(handle.id) == ["start"])
    _, message = await enqueued_nowhere(jobs, client)
    message["headers"]["id"] = handle.id
    forged = NAMED["args null"](message)
    await put(client, forged)
    if pool != "solo":  # which takes the other message after the job's end
        await kept(client, forged)
    assert (await handle.status()).state is JobState.RUNNING
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate
    assert await drop(client, await kept(client, forged))


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_what_a_plain_task_cannot_decode_is_kept_with_its_cause_and_fails(
    plain: Celery, task: TaskOf, plain_client: Redis, name: str
) -> None:
    result = task("echo").apply_async(kwargs={"value": 1}, queue=NOWHERE)
    forged = UNDECODABLE[name](await taken_out(plain_client))
    await put(plain_client, forged)
    with pytest.raises(Exception, match="the body cannot be decoded"):
        await asyncio.to_thread(result.get, timeout=60)
    letter = await kept(plain_client, forged)
    assert letter.job_id == result.id
    assert "the body cannot be decoded" in letter.cause
    assert await drop(plain_client, letter)


async def test_every_forged_message_of_a_plain_task_is_kept_with_its_cause_and_fails(
    plain: Celery, task: TaskOf, plain_client: Redis
) -> None:
    sent: dict[str, tuple[Any, bytes]] = {}
    forgeries: dict[str, Forgery] = NAMED | NAMELESS
    for name, forge in forgeries.items():
        result = task("echo").apply_async(kwargs={"value": 1}, queue=NOWHERE)
        sent[name] = result, forge(await taken_out(plain_client))
        await put(plain_client, sent[name][1])
    good = task("echo").delay(2)
    assert await asyncio.to_thread(good.get, timeout=60) == 2
    for name, (result, message) in sent.items():
        letter = await kept(plain_client, message)
        assert letter.cause, name
        if name in NAMED:
            await asyncio.to_thread(result.get, timeout=60, propagate=False)
            assert result.state == "FAILURE", name
        assert await drop(plain_client, letter)


async def test_markup_of_celerys_is_read_for_its_own_tasks(task: TaskOf) -> None:
    """As Celery's publishers write it, and as Celery's workers read it."""
    value = [datetime(2026, 11, 28, tzinfo=UTC), Decimal("1.10"), {"b": b"\xff"}]
    assert await asyncio.to_thread(task("echo").delay(value).get, timeout=60) == value


@settings(
    derandomize=True, deadline=None, max_examples=3, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(st.lists(forged_messages, min_size=30, max_size=30))
def test_a_worker_goes_on_whatever_is_in_its_queue(
    task: TaskOf, plain_broker: redis.Redis, changes: list[tuple[str, Any] | bytes]
) -> None:
    """Each message is run, or waits for its time, or is a dead letter with a cause."""
    task("echo").apply_async(kwargs={"value": 1}, queue=NOWHERE)
    good: dict[str, Any] = json.loads(plain_broker.rpop(NOWHERE))  # type: ignore[arg-type]
    sent = [change if isinstance(change, bytes) else changed(good, *change) for change in changes]
    plain_broker.lpush("celery", *sent)
    assert task("echo").delay(2).get(timeout=60) == 2
    wait_until(
        lambda: not plain_broker.llen("celery") and not plain_broker.keys("celeriac:held:*"), "all are dealt with"
    )
    letters = {letter[b"message"]: letter[b"cause"] for _, letter in plain_broker.xrange("celeriac:dead")}  # type: ignore[union-attr]
    for message in sent:
        if verdict(message):
            assert letters[message], message
    plain_broker.delete("celeriac:dead", "celeriac:delayed:celery")
