"""An application of stock Celery on Celeriac by settings alone: the same code both ways, and in a mixed fleet."""

from __future__ import annotations

import os
import re
import runpy
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import redis
from billiard.exceptions import WorkerLostError
from celery import Celery, chain, chord, group
from celery.exceptions import NotRegistered, Reject, TaskRevokedError

from celeriac import Celeriac, ConfigurationError, celery_settings
from celeriac.store import keys
from celeriac.store.messages.dead_letters import DeadLetter, dead_letters, replay
from celeriac.store.redis.connection import connect
from tests.support.contract_jobs import Trace
from tests.support.fixtures import LEASE, PATIENT, StartWorker, on_database
from tests.support.plain_app import create
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.warm import WarmProcess
from tests.support.workers import POOLS, ROOT, Worker

pytestmark = pytest.mark.usefixtures("no_key_leaks", "plain_url")

StartFleet = Callable[..., Worker]


@pytest.fixture
def plain_url(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PLAIN_URL", broker_url)
    return broker_url


@pytest.fixture
def trace(broker_url: str) -> Trace:
    return Trace(broker_url)


def producer(kind: str, broker_url: str, results: str | None = None) -> Celery:
    """The application in the test's process."""
    config: dict[str, Any] = runpy.run_module("tests.support.plain_config")
    if kind == "celeriac":
        config |= celery_settings(broker_url, results, lease=LEASE)
    return create(SimpleNamespace(**config), set_as_current=False)


@pytest.fixture
def stock(plain_url: str) -> Iterator[Celery]:
    """The application as a producer on stock Celery."""
    with producer("stock", plain_url) as app:
        yield app
        app.backend.result_consumer.stop()
        app.backend.client.close()


@pytest.fixture
def celeriac(plain_url: str) -> Iterator[Celery]:
    """The application as a producer on Celeriac."""
    with producer("celeriac", plain_url) as app:
        yield app
        app.backend.close()


@pytest.fixture
def fleet(start: StartWorker, broker_url: str) -> StartFleet:
    """Starts workers of the application, on stock Celery or on Celeriac."""

    def start_one(kind: str, pool: str = "threads", *, results: str = broker_url, **options: Any) -> Worker:
        config = "tests.support.plain_config" + ("_celeriac" if kind == "celeriac" else "")
        options.setdefault("options", ["--queues=orders,quiet"])
        return start(
            "",
            pool=pool,
            application="tests.support.plain_app",
            environment={"PLAIN_URL": broker_url, "PLAIN_RESULTS": results, "PLAIN_CONFIG": config},
            **options,
        )

    return start_one


async def uses_everything(app: Celery, trace: Trace) -> None:
    """What the application does: each of its tasks, in each of the ways it is called."""
    await uses_all_but_delays(app, trace)
    late = app.tasks["orders.add"].apply_async((5,), countdown=0.5)
    assert not late.ready()
    assert late.get(timeout=60) == 6


async def uses_all_but_delays(app: Celery, trace: Trace) -> None:
    task, key = app.tasks, uuid4().hex
    add, note = task["orders.add"], task["orders.note"]
    assert add.delay(1, b=2).get(timeout=60) == 3
    assert task["orders.flaky"].delay(2).get(timeout=60) == 2
    assert task["orders.wobbly"].delay(1).get(timeout=60) == 1
    described = task["orders.describe"].delay(7)
    assert described.get(timeout=60)["id"] == described.id
    assert described.name == "orders.describe"  # result_extended
    assert chain(add.s(1), add.s(2), add.s(3)).delay().get(timeout=60) == 7
    assert group(add.s(number) for number in range(5)).delay().get(timeout=60) == [1, 2, 3, 4, 5]
    assert chord([add.s(number) for number in range(5)], task["orders.total"].s())().get(timeout=60) == 15
    failed = task["orders.fail"].apply_async(("broken",), link_error=task["orders.complain"].s(key=key))
    with pytest.raises(ValueError, match="broken"):
        failed.get(timeout=60)
    add.apply_async((1,), link=note.s(key=key))
    await eventually(lambda: sorted(trace.of(key)) == ["complaint ValueError", "note 2"], "both links")
    task["orders.silent"].delay(key + "-silent")
    await eventually(lambda: trace.of(key + "-silent") == ["silent"], "the task without a result")
    assert [add.apply_async((1,), priority=priority).get(timeout=60) for priority in (0, 5, 9)] == [2, 2, 2]
    await eventually(lambda: trace.of(described.id) == ["start", "success"], "the base class's account")
    await eventually(lambda: trace.of(failed.id) == ["start", "failure ValueError"], "the base class's account")


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork", "solo", "threads"]))
async def test_the_application_does_on_celeriac_what_it_does_on_stock_celery(
    celeriac: Celery, fleet: StartFleet, trace: Trace, pool: str, broker: redis.Redis
) -> None:
    fleet("celeriac", pool)
    await uses_everything(celeriac, trace)
    assert broker.keys("celeriac:job*") == []  # a plain application has no job records
    await eventually(lambda: broker.keys("celeriac:held:*") == [])


@pytest.mark.slow
async def test_the_application_works_on_stock_celery(stock: Celery, fleet: StartFleet, trace: Trace) -> None:
    fleet("stock")
    await uses_everything(stock, trace)


async def test_a_stock_producer_and_celeriac_workers(stock: Celery, fleet: StartFleet, trace: Trace) -> None:
    fleet("celeriac")
    await uses_everything(stock, trace)


async def test_a_producer_on_celeriac_and_stock_workers(
    celeriac: Celery, fleet: StartFleet, trace: Trace, broker: redis.Redis
) -> None:
    fleet("stock")
    await uses_all_but_delays(celeriac, trace)
    late = celeriac.tasks["orders.add"].apply_async((5,), countdown=0.1)
    assert broker.zcard(keys.delayed("orders")) == 1  # which stock workers know nothing of
    fleet("celeriac")
    assert late.get(timeout=60) == 6


async def test_workers_and_producers_of_both_kinds_share_the_queues(
    stock: Celery, celeriac: Celery, fleet: StartFleet, trace: Trace
) -> None:
    workers = [fleet("stock"), fleet("celeriac")]
    gate = uuid4().hex
    sent = [app.tasks["orders.hold"].delay(gate) for app in (stock, celeriac) for _ in range(4)]
    await eventually(lambda: sum("start" in trace.of(result.id) for result in sent) >= 4, "both kinds are busy")
    trace.open(gate)
    assert [result.get(timeout=60) for result in sent] == [gate] * 8
    assert all("orders.hold" in worker.log and " succeeded in " in worker.log for worker in workers)
    for app in (stock, celeriac):
        await uses_everything(app, trace)


async def test_workers_of_both_kinds_run_parts_of_one_chord(
    celeriac: Celery, stock: Celery, fleet: StartFleet, trace: Trace
) -> None:
    workers = [
        fleet("stock", options=["--queues=orders"]),
        fleet("celeriac", "asyncio", options=["--queues=quiet"]),
    ]
    for app in (stock, celeriac):
        gate, key = uuid4().hex, uuid4().hex
        trace.open(gate)
        parts = [app.tasks["orders.hostname"].s(gate).set(queue=queue) for queue in ("orders", "quiet") * 3]
        assert chord(parts, app.tasks["orders.note"].s(key=key))().get(timeout=60)
        [note] = trace.of(key)
        hosts = [worker.name for worker in workers] * 3
        assert re.findall("|".join(map(re.escape, set(hosts))), note) == hosts


async def test_a_part_of_a_chord_that_is_run_twice_counts_once(
    celeriac: Celery, fleet: StartFleet, trace: Trace, broker: redis.Redis
) -> None:
    add, key = celeriac.tasks["orders.add"], uuid4().hex
    result = chord([add.s(1), add.s(10), add.s(100)], celeriac.tasks["orders.note"].s(key=key))()
    broker.rpush("orders", *broker.lrange("orders", 1, 2))  # the first two parts again, before all others
    worker = fleet("celeriac", "asyncio")
    result.get(timeout=60)
    assert add.delay(1).get(timeout=60) == 2  # a second body would have run before
    assert trace.of(key) == ["note [2, 11, 101]"]
    assert len(re.findall(r"orders\.add\[.*succeeded", worker.log)) == 6


@pytest.mark.parametrize("pool", quick_first(POOLS))
async def test_a_killed_workers_tasks_run_elsewhere(
    celeriac: Celery, fleet: StartFleet, trace: Trace, pool: str
) -> None:
    gate = uuid4().hex
    victim = fleet("celeriac", pool)
    sent = [celeriac.tasks["orders.hold"].delay(gate) for _ in range(4)]
    await eventually(lambda: any("start" in trace.of(result.id) for result in sent), "one runs")
    victim.kill()
    fleet("stock")  # takes what is in the queue, and nothing of what the victim held before that is brought back
    fleet("celeriac")
    trace.open(gate)
    assert [result.get(timeout=60) for result in sent] == [gate] * 4


@pytest.mark.slow
async def test_nothing_is_lost_when_a_mixed_fleets_workers_are_killed(
    stock: Celery, celeriac: Celery, fleet: StartFleet
) -> None:
    sent = [app.tasks["orders.nap"].delay(number) for number in range(200) for app in (stock, celeriac)]
    for _ in range(3):
        victim = fleet("celeriac", "threads", concurrency=4)
        await eventually(lambda victim=victim: victim.log.count(" succeeded in ") >= 20, "it is busy")
        victim.kill()
    fleet("stock", concurrency=4)
    survivor = fleet("celeriac", "threads", concurrency=4)
    assert [result.get(timeout=60) for result in sent] == [number for number in range(200) for _ in range(2)]
    assert " succeeded in " in survivor.log


@pytest.mark.slow
async def test_a_task_longer_than_several_leases_runs_once(celeriac: Celery, fleet: StartFleet, trace: Trace) -> None:
    for pool in ("solo", "threads"):
        fleet("celeriac", pool)
    gate = uuid4().hex
    result = celeriac.tasks["orders.hold"].delay(gate)
    await eventually(lambda: trace.of(result.id) == ["start"], "it runs")
    long_enough = time.monotonic() + 2.5 * LEASE
    await eventually(lambda: time.monotonic() > long_enough)
    trace.open(gate)
    assert result.get(timeout=60) == gate
    await eventually(lambda: trace.of(result.id) == ["start", "end", "success"], "its account")


@pytest.mark.parametrize("pool", quick_first(["solo", "asyncio"]))
@pytest.mark.parametrize("results", ["with the messages", "elsewhere"])
async def test_a_frozen_workers_late_result_is_refused(
    plain_url: str, fleet: StartFleet, trace: Trace, results: str, pool: str
) -> None:
    elsewhere = on_database(plain_url, 9) if results == "elsewhere" else plain_url
    with producer("celeriac", plain_url, elsewhere) as app:
        gate, first = uuid4().hex, fleet("celeriac", pool, results=elsewhere)
        result = app.tasks["orders.hostname"].delay(gate)
        await eventually(lambda: trace.of(result.id) == ["start"], "it runs")
        first.signal(signal.SIGSTOP)
        second = fleet("celeriac", pool, results=elsewhere)
        await eventually(lambda: trace.of(result.id) == ["start", "start"], "the lease has run out")
        trace.open(gate)
        assert result.get(timeout=60).startswith(second.name)
        first.signal(signal.SIGCONT)
        assert (
            first.stop() == 0
        )  # after the task: the asyncio pool stops it, the others let it end and refuse its result
        assert pool == "asyncio" or "acknowledged too late" in first.log
        assert app.backend.get_task_meta(result.id, cache=False)["result"].startswith(second.name)
        app.backend.close()


def state_of(app: Celery, task_id: str) -> str:
    """What is stored now, whatever this process has seen before."""
    return str(app.backend.get_task_meta(task_id, cache=False)["status"])


async def letters(broker_url: str) -> list[DeadLetter]:
    client = connect(broker_url, timeout=5)
    try:
        return [letter async for letter in dead_letters(client)]
    finally:
        await client.aclose()


async def replay_all(broker_url: str) -> None:
    client = connect(broker_url, timeout=5)
    try:
        async for letter in dead_letters(client):
            assert await replay(client, letter)
    finally:
        await client.aclose()


@pytest.mark.slow
async def test_a_task_that_ends_its_process_again_and_again_is_a_dead_letter(
    celeriac: Celery, fleet: StartFleet, trace: Trace, plain_url: str
) -> None:
    worker, gate, key = fleet("celeriac", "prefork", concurrency=1), uuid4().hex, uuid4().hex
    complain = celeriac.tasks["orders.complain"].s(key=key)
    poison = celeriac.tasks["orders.crash"].apply_async((gate,), link_error=complain)
    with pytest.raises(WorkerLostError, match="vanished 5 times"):
        poison.get(timeout=60)
    assert trace.of(poison.id) == ["start"] * 5
    await eventually(lambda: trace.of(key) == ["complaint WorkerLostError"], "its errback")
    [letter] = await eventually(lambda: letters(plain_url), "it is a dead letter")
    assert (letter.job_id, letter.task, letter.queue, letter.losses) == (poison.id, "orders.crash", "orders", 5)
    assert letter.cause == "its worker vanished 5 times while it ran the job"
    assert celeriac.tasks["orders.add"].delay(1).get(timeout=60) == 2
    assert worker.process.poll() is None
    trace.open(gate)
    await replay_all(plain_url)
    await eventually(lambda: state_of(celeriac, poison.id) == "SUCCESS", "it has run")
    assert await letters(plain_url) == []


@pytest.mark.parametrize("pool", quick_first(["solo", "asyncio"]))
async def test_a_task_that_ends_its_worker_again_and_again_is_a_dead_letter(
    celeriac: Celery, fleet: StartFleet, trace: Trace, plain_url: str, pool: str
) -> None:
    poison = celeriac.tasks["orders.crash"].delay(uuid4().hex)
    for number in range(1, 6):
        fleet("celeriac", pool, until=None).wait_end()
        assert trace.of(poison.id) == ["start"] * number
    fleet("celeriac", pool)
    with pytest.raises(WorkerLostError, match="vanished 5 times"):
        poison.get(timeout=60)
    [letter] = await eventually(lambda: letters(plain_url), "it is a dead letter, which follows the result")
    assert letter.losses == 5
    assert trace.of(poison.id) == ["start"] * 5


@pytest.mark.parametrize("pool", quick_first(["asyncio", "threads"]))
async def test_a_rejected_task_is_a_dead_letter(
    celeriac: Celery, fleet: StartFleet, trace: Trace, plain_url: str, pool: str
) -> None:
    gate = uuid4().hex
    fleet("celeriac", pool)
    refused = celeriac.tasks["orders.refuse"].delay(gate)
    with pytest.raises(Reject):
        refused.get(timeout=60)
    [letter] = await eventually(lambda: letters(plain_url), "it is a dead letter")
    assert (letter.job_id, letter.cause, letter.losses) == (refused.id, "not today", 0)
    trace.open(gate)
    await replay_all(plain_url)
    await eventually(lambda: state_of(celeriac, refused.id) == "SUCCESS", "it has run")


async def test_a_task_that_no_worker_knows_is_kept_until_one_does(
    celeriac: Celery, fleet: StartFleet, plain_url: str
) -> None:
    fleet("celeriac")
    result = celeriac.send_task("orders.tomorrow")
    with pytest.raises(NotRegistered):
        result.get(timeout=60)
    [letter] = await eventually(lambda: letters(plain_url), "it is a dead letter")
    assert (letter.task, letter.cause) == ("orders.tomorrow", "no task of that name is registered")


@pytest.mark.parametrize("pool", quick_first(["prefork", "asyncio"]))
async def test_remote_control_revokes_what_waits_and_what_runs(
    celeriac: Celery, fleet: StartFleet, trace: Trace, pool: str, broker: redis.Redis
) -> None:
    worker = fleet("celeriac", pool, concurrency=1)
    gate, hold = uuid4().hex, celeriac.tasks["orders.hold"]
    running, waiting = hold.delay(gate), celeriac.tasks["orders.add"].apply_async((1,), countdown=2)
    await eventually(lambda: trace.of(running.id) == ["start"], "it runs")
    [queues] = celeriac.control.inspect(timeout=PATIENT, limit=1).active_queues().values()
    assert {queue["name"] for queue in queues} == {"orders", "quiet"}
    celeriac.control.revoke(waiting.id)
    celeriac.control.revoke(running.id, terminate=True)
    for result in (running, waiting):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=60)
    assert celeriac.tasks["orders.add"].delay(1).get(timeout=60) == 2
    assert worker.process.poll() is None
    await eventually(lambda: broker.keys("celeriac:held:*") == [])


@pytest.mark.slow
async def test_a_producer_may_fork(fleet: StartFleet, tmp_path: Path) -> None:
    fleet("celeriac")
    environment = {**os.environ, "PLAIN_CONFIG": "tests.support.plain_config_celeriac"}
    script = [str(ROOT / "tests" / "support" / "forking_producer.py")]
    process = WarmProcess("python", script, cwd=ROOT, environment=environment, log=tmp_path / "producer.log")
    assert process.wait(60) == 0, process.output


@pytest.mark.slow
async def test_beat_sends_what_is_due(
    fleet: StartFleet, trace: Trace, plain_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fleet("celeriac")
    environment = {**os.environ, "PLAIN_CONFIG": "tests.support.plain_config_celeriac"}
    command = ["celery", "-A", "tests.support.plain_app", "beat", f"--schedule={tmp_path / 'schedule'}", "--pidfile="]
    beat = WarmProcess("module", command, cwd=ROOT, environment=environment, log=tmp_path / "beat.log")
    request.addfinalizer(beat.end)
    await eventually(lambda: len(trace.of("beat")) >= 2, "two ticks")


@pytest.mark.parametrize(
    "options",
    [{"lease": 1}, {"lease": "soon"}, {"lease": True}, {"lease": float("nan")}, {"global_keyprefix": "shop:"}],
)
def test_options_that_cannot_be_used_are_refused(plain_url: str, options: dict[str, Any]) -> None:
    name = next(iter(options))
    with create(SimpleNamespace(**celery_settings(plain_url)), set_as_current=False) as app:
        app.conf.broker_transport_options = options
        with app.connection_for_read() as connection, pytest.raises(ConfigurationError, match=name):
            connection.default_channel  # noqa: B018


def test_several_urls_are_refused_before_celery_goes_back_to_its_own_transport(plain_url: str) -> None:
    with create(SimpleNamespace(**celery_settings(plain_url)), set_as_current=False) as app:
        app.conf.broker_url = f"{plain_url};{plain_url}"
        with app.connection_for_read() as connection, pytest.raises(ConfigurationError, match="one URL"):
            connection.default_channel  # noqa: B018


def test_an_application_of_ours_may_have_several(app: Celeriac, plain_url: str) -> None:
    app.conf.broker_url = f"{plain_url};{plain_url}"
    with app.connection_for_read() as connection, app.producer_or_acquire() as producer:
        assert connection.default_channel.lease is producer.channel.lease


def test_the_url_that_monitors_see_stays_an_ordinary_one(plain_url: str) -> None:
    app = create(SimpleNamespace(**celery_settings(plain_url)), set_as_current=False)
    with app, app.connection_for_read() as connection:
        assert connection.as_uri().startswith("redis://")
