"""The asyncio worker under what really happens: freezes, signals, a broker that goes away."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import redis
from billiard.exceptions import WorkerLostError
from celery import Celery, group
from celery.result import AsyncResult

from celeriac.engine.aio.pool import THREADS
from celeriac.store import keys
from tests.integration.engine.conftest import Broker
from tests.support import plain_twins
from tests.support.contract_jobs import Trace
from tests.support.fixtures import StartWorker
from tests.support.waiting import eventually
from tests.support.workers import Worker

StartOne = Callable[..., Worker]


@pytest.fixture
def start_one(start: StartWorker, broker_url: str) -> StartOne:
    """Starts asyncio workers of the plain application."""

    def start_it(concurrency: int = 1000, url: str = broker_url, **options: object) -> Worker:
        more = {"application": "tests.support.plain_twins", "environment": {"TWINS_URL": url, "PLAIN_URL": url}}
        return start("", pool="asyncio", concurrency=concurrency, **more, **options)

    return start_it


@pytest.fixture
def plain(broker_url: str) -> Iterator[Celery]:
    with plain_twins.create(broker_url, set_as_current=False) as app:
        yield app
        app.backend.close()


@pytest.fixture
def trace(broker_url: str) -> Trace:
    return Trace(broker_url)


def send(app: Celery, task: str, count: int, *args: object) -> list[AsyncResult]:
    """One publication after the other, in this order."""
    return [app.tasks[task].delay(*args) for _ in range(count)]


async def all_began(trace: Trace, results: list[AsyncResult], times: int = 1) -> None:
    await eventually(lambda: all(trace.of(result.id).count("begin") >= times for result in results), "all began")


async def get_all(results: list[AsyncResult], within: float = 30) -> list[object]:
    """As many as there are, without a subscription for each."""
    return await eventually(lambda: stored(results), f"all of {len(results)} have ended", within=within)


def stored(results: list[AsyncResult]) -> list[object] | None:
    backend = results[0].backend
    found = backend.client.mget([backend.get_key_for_task(result.id) for result in results])
    if None in found:
        return None
    outcomes = [backend.decode(raw) for raw in found]
    return [(outcome["status"], outcome["result"]) for outcome in outcomes]


@pytest.mark.slow
async def test_a_worker_that_was_frozen_stops_what_runs_elsewhere(
    plain: Celery, start_one: StartOne, trace: Trace
) -> None:
    gate = uuid4().hex
    first = start_one()
    results = [*send(plain, "async.hold", 3, gate), *send(plain, "def.hold", 3, gate)]
    await all_began(trace, results)
    first.signal(signal.SIGSTOP)
    start_one()
    await all_began(trace, results, times=2)
    first.signal(signal.SIGCONT)
    first.wait_for_log("had run out")
    await eventually(lambda: first_active(plain, first) == [], "its own runs have been stopped")
    trace.open(gate)
    assert await get_all(results) == [("SUCCESS", gate)] * 6
    for result in results:
        assert trace.of(result.id).count("end") == 1
    assert await get_all(send(plain, "async.echo", 20, 1)) == [("SUCCESS", 1)] * 20
    assert first.stop() == 0


def first_active(app: Celery, worker: Worker) -> list[object] | None:
    replies = app.control.inspect(timeout=1).active() or {}
    return next((active for name, active in replies.items() if name.startswith(worker.name)), None)


@pytest.mark.slow
async def test_thousands_of_tasks_are_in_flight_in_one_process(
    plain: Celery, start_one: StartOne, trace: Trace, broker: redis.Redis
) -> None:
    worker, gate = start_one(concurrency=2000), uuid4().hex
    results = group(plain.tasks["async.hold"].s(gate) for _ in range(2000))().results
    await eventually(lambda: sum(len(trace.of(result.id)) > 1 for result in results[-100:]) == 100, within=60)
    await all_began(trace, results)
    assert broker.llen("celery") == 0
    trace.open(gate)
    assert await get_all(results, within=60) == [("SUCCESS", gate)] * 2000
    assert worker.stop() == 0


async def test_def_tasks_that_find_no_thread_are_left_to_other_workers(
    plain: Celery, start_one: StartOne, trace: Trace
) -> None:
    gate, key = uuid4().hex, uuid4().hex
    start_one()
    first = send(plain, "def.hold", THREADS, gate)
    await all_began(trace, first)
    waiting = [plain.tasks["def.note"].delay(number, key) for number in range(20)]
    assert trace.of(key) == []
    start_one(concurrency=1)
    assert await get_all(waiting) == [("SUCCESS", key)] * 20
    trace.open(gate)
    assert await get_all(first) == [("SUCCESS", gate)] * THREADS


async def test_async_tasks_do_not_wait_for_threads(plain: Celery, start_one: StartOne, trace: Trace) -> None:
    gate = uuid4().hex
    start_one()
    busy = send(plain, "def.hold", THREADS, gate)
    await all_began(trace, busy)
    busy += send(plain, "def.hold", 3 * THREADS, gate)
    assert await get_all(send(plain, "async.echo", 1, 1)) == [("SUCCESS", 1)]
    trace.open(gate)
    assert await get_all(busy) == [("SUCCESS", gate)] * 4 * THREADS


@pytest.mark.slow
async def test_what_found_no_thread_is_not_lost_in_a_cold_shutdown(
    plain: Celery, start_one: StartOne, trace: Trace, broker: redis.Redis
) -> None:
    gate, worker = uuid4().hex, start_one()
    sent = send(plain, "def.hold", THREADS, gate)
    await all_began(trace, sent)
    sent += send(plain, "def.hold", 30, gate)
    held = next(key for key in broker.scan_iter("celeriac:held:*"))
    seen: set[bytes] = set()
    # The worker takes some, finds no thread for them, and gives them back.
    await eventually(lambda: seen.update(broker.hkeys(held)) or len(seen) >= THREADS * 2, "it has tried")
    worker.signal(signal.SIGQUIT)
    assert worker.wait_end(within=60) == 0
    waiting = [json.loads(message)["headers"]["id"] for message in reversed(broker.lrange("celery", 0, -1))]
    assert waiting[:THREADS] == [result.id for result in sent[:THREADS]]
    assert len(waiting) + broker.zcard(keys.delayed("celery")) == len(sent)
    start_one()
    trace.open(gate)
    assert await get_all(sent) == [("SUCCESS", gate)] * len(sent)


async def test_messages_that_cannot_be_handled_take_no_room_of_the_worker(
    plain: Celery, start_one: StartOne, broker: redis.Redis
) -> None:
    send(plain, "async.echo", 1, 1)
    message = json.loads(broker.rpop("celery"))  # type: ignore[arg-type]
    del message["headers"]["id"]
    broken = [json.dumps(message | {"number": number}).encode() for number in range(6)]
    broker.lpush("celery", *broken)
    worker = start_one(concurrency=2)
    assert await get_all(send(plain, "async.echo", 4, 1)) == [("SUCCESS", 1)] * 4
    await eventually(lambda: broker.xlen(keys.DEAD) == len(broken))
    letters = [letter for _, letter in broker.xrange(keys.DEAD)]  # type: ignore[union-attr]
    assert sorted(letter[b"message"] for letter in letters) == broken
    assert {letter[b"cause"] for letter in letters} == {
        b"headers.id must be text of 1 to 1024 characters; it is missing"
    }
    assert broker.keys(keys.held("*")) == []
    assert worker.log.count("is refused: headers.id must be text") == len(broken)


@pytest.mark.slow
async def test_a_task_that_ends_its_worker_again_and_again_takes_no_other_along(
    plain: Celery, start_one: StartOne, trace: Trace, broker: redis.Redis
) -> None:
    """Those that ran beside it are suspected as well after a while, and run one at a time."""
    gate = uuid4().hex
    neighbours = send(plain, "async.hold", 10, gate)
    [poison] = send(plain, "orders.crash", 1, uuid4().hex)
    neighbours += send(plain, "async.hold", 30, gate)
    for number in range(1, 6):
        await asyncio.to_thread(start_one(until=None).wait_end)
        assert trace.of(poison.id) == ["start"] * number
        if number == 3:
            trace.open(gate)
    start_one()
    with pytest.raises(WorkerLostError, match="vanished 5 times"):
        await asyncio.to_thread(poison.get, timeout=60)
    assert await get_all(neighbours) == [("SUCCESS", gate)] * len(neighbours)
    assert broker.xlen(keys.DEAD) == 1
    assert broker.keys(keys.held("*")) == []


async def test_a_warm_shutdown_in_the_middle_of_many_tasks_loses_none(
    plain: Celery, start_one: StartOne, trace: Trace, broker: redis.Redis
) -> None:
    worker = start_one(concurrency=50)
    results = group(plain.tasks["async.nap"].s(0.3) for _ in range(100))().results
    await eventually(lambda: sum(trace.of(result.id).count("start") for result in results) >= 30, "it is busy")
    assert worker.stop() == 0
    assert broker.keys("celeriac:held:*") == []
    done = [result for result in results if result.backend.client.exists(result.backend.get_key_for_task(result.id))]
    assert len(done) + broker.llen("celery") == 100
    assert len(done) >= 30
    start_one()
    assert await get_all(results) == [("SUCCESS", 0.3)] * 100
    assert [trace.of(result.id).count("start") for result in results] == [1] * 100


async def test_a_cold_shutdown_gives_everything_back_at_once(
    plain: Celery, start_one: StartOne, trace: Trace, broker: redis.Redis
) -> None:
    gate, worker = uuid4().hex, start_one()
    results = [*send(plain, "async.hold", 20, gate), *send(plain, "def.hold", 4, gate)]
    await all_began(trace, results)
    worker.signal(signal.SIGQUIT)
    assert worker.wait_end(within=60) == 0
    assert broker.llen("celery") == 24  # and nothing waits for a lease to run out
    assert broker.keys("celeriac:held:*") == []
    start_one()
    trace.open(gate)
    assert await get_all(results) == [("SUCCESS", gate)] * 24
    assert all("end" in trace.of(result.id) for result in results)


@pytest.mark.own_server
async def test_a_worker_goes_on_when_its_connections_are_cut(
    plain: Celery, start_one: StartOne, trace: Trace, broker: redis.Redis
) -> None:
    gate, worker = uuid4().hex, start_one()
    held = send(plain, "async.hold", 10, gate)
    await all_began(trace, held)
    for _ in range(3):
        broker.client_kill_filter(_type="normal", skipme=True)
        assert await get_all(send(plain, "async.echo", 20, 1)) == [("SUCCESS", 1)] * 20
    trace.open(gate)
    assert await get_all(held) == [("SUCCESS", gate)] * 10
    assert [trace.of(result.id).count("begin") for result in held] == [1] * 10
    assert worker.stop() == 0


@pytest.mark.slow
async def test_a_worker_outlasts_its_broker(own_broker: Broker, start_one: StartOne) -> None:
    url = own_broker.url
    with plain_twins.create(url, set_as_current=False) as app:
        gate, trace, worker = uuid4().hex, Trace(url), start_one(url=url)
        held = send(app, "async.hold", 10, gate)
        await all_began(trace, held)
        for _ in range(2):
            await own_broker.kill()
            await asyncio.to_thread(worker.wait_for_log, "sent again|Connection to broker lost|was not renewed")
            trace.open(gate)  # they end while the broker is away
            await own_broker.start()
            # A connection of the producer's own, which has to notice as well, is no part of what is measured.
            with app.connection_for_write() as connection:
                sent = app.tasks["async.echo"].apply_async((1,), connection=connection)
            await eventually(lambda sent=sent: stored([sent]), "it consumes again")
        assert await get_all(held) == [("SUCCESS", gate)] * 10
        assert [trace.of(result.id).count("end") for result in held] == [1] * 10
        assert worker.stop() == 0
        app.backend.close()
