"""Stock Celery on the same queues: its producers, its workers, its messages that wait for a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import redis
from celery import Celery
from kombu import Exchange

from celeriac import Celeriac, ConfigurationError, JobState, Settings, UnknownJob
from celeriac.store import keys
from celeriac.store.messages.dead_letters import dead_letters, replay
from celeriac.store.redis.connection import connect
from tests.support import broadcast_jobs
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import LEASE, StartWorker
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_key_leaks")


async def known(jobs: ContractJobs, job_id: str) -> bool:
    try:
        return bool(await jobs.app.client.get(job_id))
    except UnknownJob:
        return False


async def test_a_stock_producers_job_is_run_and_recorded(
    jobs: ContractJobs, stock: Celery, start: StartWorker, module: str
) -> None:
    start(module, pool="threads")
    result = stock.send_task("add", args=(40,), kwargs={"b": 2})
    await eventually(lambda: known(jobs, result.id))
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert (record.state, record.task, record.queue, record.attempt) == (JobState.SUCCEEDED, "add", "celery", 1)
    assert await jobs.app.client.outcome(result.id) == 42
    assert result.get(timeout=60) == 42
    page, _ = await jobs.app.client.page()
    assert [job.id for job in page] == [result.id]


async def test_a_stock_producers_job_with_a_time_to_wait_for_is_held_by_no_worker(
    jobs: ContractJobs, stock: Celery, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    start(module, pool="threads", concurrency=1)
    before = datetime.now(UTC)
    result = stock.send_task("add", args=(1,), countdown=1)
    await eventually(lambda: broker.zcard("celeriac:delayed:celery") == 1)
    assert broker.keys("celeriac:held:*") == []
    assert result.get(timeout=60) == 2
    record = await jobs.app.client.get(result.id)
    assert record.started_at is not None
    assert 1 <= (record.started_at - before).total_seconds() < 2


async def test_a_stock_worker_runs_what_was_enqueued_here(
    jobs: ContractJobs, start: StartWorker, broker_url: str
) -> None:
    start(
        "",
        pool="solo",
        application="tests.support.stock_app",
        environment={"STOCK_URL": broker_url},
    )
    handle = await jobs.add.enqueue(40, b=2)
    result = jobs.app.AsyncResult(handle.id)
    await eventually(result.ready)
    assert result.get() == 42


async def test_several_queues_are_served(jobs: ContractJobs, start: StartWorker, module: str) -> None:
    start(module, pool="solo", options=["--queues=one,two,three"])
    for queue in ("one", "two", "three"):
        handle = await jobs.add.options(queue=queue).enqueue(1)
        assert await handle.result(timeout=60) == 2
        assert (await handle.status()).queue == queue


@pytest.mark.parametrize("garbage", ["no JSON", "{}", '{"properties": {}}', '{"properties": 7, "body": 1}', "[]", "7"])
async def test_what_cannot_be_read_is_a_dead_letter_and_stops_no_worker(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis, garbage: str
) -> None:
    broker.lpush("celery", garbage)
    worker = start(module, pool="threads")
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    [(_, letter)] = broker.xrange(keys.DEAD)  # type: ignore[misc]
    assert letter[b"message"] == garbage.encode()
    assert letter[b"cause"]
    assert worker.process.poll() is None


async def test_a_task_that_no_worker_knows_has_failed_and_is_kept(
    jobs: ContractJobs, stock: Celery, start: StartWorker, module: str, broker: redis.Redis, broker_url: str
) -> None:
    worker = start(module, pool="threads")
    result = stock.send_task("unheard.of", args=(1,))
    await eventually(lambda: known(jobs, result.id))
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert (record.state, record.task) == (JobState.FAILED, "unheard.of")
    assert record.error is not None
    assert record.error.type == "NotRegistered"
    assert worker.process.poll() is None
    client = connect(broker_url, timeout=5)
    await eventually(lambda: broker.xlen(keys.DEAD), "after its failure is recorded, the message becomes a dead letter")
    [letter] = [letter async for letter in dead_letters(client)]
    assert (letter.job_id, letter.cause) == (result.id, "no task of that name is registered")
    assert await replay(client, letter)  # as one would once a worker knows it
    await eventually(lambda: broker.xlen(keys.DEAD) == 1, "no worker does")
    assert (await jobs.app.client.wait(result.id, timeout=60)).state is JobState.FAILED
    await client.aclose()


async def test_remote_control_answers_and_leaves_nothing_behind(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    worker = start(module, pool="threads")
    replies = jobs.app.control.ping(timeout=2, limit=1)
    assert [list(reply.values()) for reply in replies] == [[{"ok": "pong"}]]
    active = jobs.app.control.inspect(timeout=2, limit=1).stats()
    assert [name.partition("@")[0] for name in active] == [worker.name]
    assert broker.keys("celeriac:held:*") == []


async def test_what_is_no_task_stops_no_worker(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    job_id = str(uuid4())
    message = {
        "body": "!", "content-type": "application/json", "content-encoding": "utf-8",
        "headers": {"id": job_id, "task": "unheard of", "lang": "py"},
        "properties": {"delivery_tag": str(uuid4()), "delivery_info": {}, "body_encoding": "base64"},
    }  # fmt: skip
    broker.lpush("celery", json.dumps(message))
    worker = start(module, pool="threads")
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    assert worker.process.poll() is None


async def test_purging_a_queue_also_drops_what_is_delayed(jobs: ContractJobs, broker: redis.Redis) -> None:
    await jobs.add.enqueue_many([{"a": 1}] * 3)
    await jobs.add.options(delay=60).enqueue_many([{"a": 1}] * 2)
    assert jobs.app.control.purge() == 5
    assert broker.keys("celeriac:delayed:*") == []


async def test_a_broadcast_is_run_by_every_worker(start: StartWorker, settings: Settings, broker: redis.Redis) -> None:
    jobs = broadcast_jobs.create(settings)
    workers = [start("tests.support.broadcast_jobs", pool=pool) for pool in ("threads", "solo")]
    await eventually(lambda: _listeners(broker) == 4)  # each worker's to remote control, and to the broadcast
    key = uuid4().hex
    everyone = Exchange("everyone", type="fanout")
    jobs.app.tasks["reload"].apply_async((key,), exchange=everyone, routing_key="celery", declare=[everyone])
    await eventually(lambda: jobs.trace.of(key) == ["reloaded"] * 2)
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    assert not any("too late" in worker.log for worker in workers)
    await jobs.app.client.aclose()
    jobs.app.close()


def _listeners(broker: redis.Redis) -> int:
    """How many listen in the broker's database; workers of other tests may listen in others."""
    database = str(broker.connection_pool.connection_kwargs["db"])
    return sum((client["psub"], client["db"]) == ("1", database) for client in broker.client_list("pubsub"))


@pytest.mark.parametrize("given", [{}, {"visibility_timeout": 43_200, "queue_order_strategy": "sorted"}])
async def test_the_lease_is_ours_whatever_a_stock_application_says_of_visibility(
    app: Celeriac, given: dict[str, object]
) -> None:
    app.conf.broker_transport_options = given
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        assert channel.lease.hold.lease_ms == LEASE * 1000
        assert channel.socket_timeout is not None
        assert channel.queue_order_strategy == given.get("queue_order_strategy", "round_robin")


async def test_a_prefix_of_keys_is_refused_before_jobs_go_where_no_worker_looks(app: Celeriac) -> None:
    app.conf.broker_transport_options = {"global_keyprefix": "shop:"}
    with app.connection_for_read() as connection, pytest.raises(ConfigurationError, match="global_keyprefix"):
        connection.default_channel  # noqa: B018
