"""Celery's events and remote control, on a plain application, in every pool."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.events.state import State
from celery.exceptions import TaskRevokedError
from kombu import Exchange

from celeriac.core.records import MESSAGE_LIMIT, TRACEBACK_LIMIT
from celeriac.store import keys
from tests.contract.conftest import TaskOf, Way, ways
from tests.support.contract_jobs import Trace
from tests.support.fixtures import PATIENT, StartWorker
from tests.support.waiting import wait_until
from tests.support.workers import Worker

WAIT = 60


@contextmanager
def watching(app: Celery, known: Callable[[], Any]) -> Iterator[State]:
    """What a monitor knows: `celery events` and Flower keep the same. `known` sends something that it hears of."""
    state = State()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, {"*": state.event})

        def watch() -> None:
            for _ in receiver.itercapture(limit=None, timeout=None, wakeup=False):
                pass

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            wait_until(lambda: known() and state.tasks, "the monitor hears of something")
            yield state
        finally:
            receiver.should_stop = True
            thread.join()


def test_events(task: TaskOf, plain: Celery, plain_worker: Worker) -> None:
    with watching(plain, lambda: task("echo").delay(1).get(timeout=WAIT)) as state:
        late = task("echo").apply_async((1,), countdown=0.2)
        plain.control.revoke(late.id)
        sent = {
            "SUCCESS": task("echo").delay("fine"),
            "FAILURE": task("fail").delay("broken"),
            "RETRY": task("patient").delay(),
            "REVOKED": late,
        }

        def settled() -> bool:
            seen = {result.id: state.tasks.get(result.id) for result in sent.values()}
            return all(seen[result.id] and seen[result.id].state == want for want, result in sent.items())

        wait_until(settled, "every task has ended as it should")
        success, failure = (state.tasks[sent[name].id] for name in ("SUCCESS", "FAILURE"))
        assert success.name == task("echo").name
        assert success.args == "('fine',)"
        assert (success.result, success.worker.hostname.split("@")[0]) == ("'fine'", plain_worker.name)
        assert success.sent is None
        assert success.received <= success.started <= success.succeeded
        assert failure.exception == "ValueError('broken')"
        assert "raise ValueError(message)" in failure.traceback
        sent["RETRY"].revoke()


def test_the_event_of_a_failure_has_bounds(task: TaskOf, plain: Celery) -> None:
    with watching(plain, lambda: task("echo").delay(1).get(timeout=WAIT)) as state:
        for how in ("huge", "endless"):
            result = task("break_oddly").delay(how)
            told = wait_until(lambda result=result: _failed(state, result.id), f"{how}: the monitor hears of it")
            assert len(told.exception) <= MESSAGE_LIMIT
            assert len(told.traceback) <= TRACEBACK_LIMIT
            assert "characters cut" in told.exception or how == "endless"


def _failed(state: State, task_id: str) -> Any:
    told = state.tasks.get(task_id)
    return told if told is not None and told.state == "FAILURE" else None


def only_reply(replies: Any) -> Any:
    [reply] = (
        (replies or {}).values() if isinstance(replies, dict) else [value for r in replies for value in r.values()]
    )
    return reply


def test_ping_stats_and_registered(task: TaskOf, plain: Celery, way: Way) -> None:
    inspect = plain.control.inspect(timeout=PATIENT, limit=1)
    assert only_reply(inspect.ping()) == {"ok": "pong"}
    assert {"orders.add", task("echo").name} <= set(only_reply(inspect.registered()))
    stats = only_reply(inspect.stats())
    assert stats["pool"]["implementation"].startswith("celer")
    task("echo").delay(1).get(timeout=WAIT)
    assert only_reply(inspect.stats())["total"][task("echo").name] >= 1


@pytest.mark.parametrize("way", ways("asyncio", "prefork", "threads"), indirect=True, scope="session")
def test_what_is_active(task: TaskOf, plain: Celery, trace: Trace) -> None:
    """A solo worker answers when it has nothing to do."""
    gate = uuid4().hex
    results = [task("hold").delay(gate) for _ in range(2)]
    wait_until(lambda: all("begin" in trace.of(result.id) for result in results), "both run")
    active = only_reply(plain.control.inspect(timeout=PATIENT, limit=1).active())
    assert {entry["id"] for entry in active} == {result.id for result in results}
    assert active[0]["name"] == task("hold").name
    assert active[0]["args"] == [gate]
    assert active[0]["time_start"] <= time.time()
    trace.open(gate)
    assert [result.get(timeout=WAIT) for result in results] == [gate] * 2
    # A worker may hear of the end of a task a moment after its result is there.
    wait_until(
        lambda: only_reply(plain.control.inspect(timeout=PATIENT, limit=1).active()) == [], "none is active any more"
    )


@pytest.mark.parametrize("way", ways("asyncio", "prefork", "threads", "solo"), indirect=True, scope="session")
def test_what_is_scheduled_is_listed_in_due_order_and_celerys_form(
    task: TaskOf, plain: Celery, plain_broker: redis.Redis, way: Way
) -> None:
    listed = "scheduled"
    add_queue(plain, listed)
    try:
        late = task("note").apply_async(("later", "x"), {}, countdown=3000, queue=listed, priority=3)
        soon = task("echo").apply_async(kwargs={"value": {"a": [1, None]}}, countdown=2000, queue=listed)
        odd = {"n": 2**64 + 1, "file": "\udcff.txt"}
        unusual = task("echo").apply_async((odd,), countdown=2200, queue=listed)
        long = task("echo").apply_async(("x" * 100_000,), countdown=2500, queue=listed)
        plain_broker.zadd(keys.delayed(listed), {b"1:s{not json": 1e13, b"1:s[]": 2e13, b"1:s" + b"x" * 50_000: 3e13})
        inspect = plain.control.inspect(timeout=PATIENT, limit=1)

        def in_queue() -> list[Any]:  # other tests have left theirs in other queues
            entries = only_reply(inspect.scheduled())
            return [entry for entry in entries if entry["request"]["delivery_info"]["routing_key"] == listed]

        found = in_queue()
        assert [entry["request"]["id"] for entry in found] == [soon.id, unusual.id, long.id, late.id]
        for entry, seconds in zip(found, (2000, 2200, 2500, 3000), strict=True):
            assert abs(datetime.fromisoformat(entry["eta"]).timestamp() - time.time() - seconds) < 60
            assert set(entry["request"]) >= {
                "name",
                "args",
                "kwargs",
                "type",
                "hostname",
                "time_start",
                "delivery_info",
            }
        first, exact, second, last = (entry["request"] for entry in found)
        assert exact["args"] == [odd]
        assert (first["name"], first["args"], first["kwargs"]) == (task("echo").name, [], {"value": {"a": [1, None]}})
        assert (last["args"], last["delivery_info"]["routing_key"]) == (["later", "x"], listed)
        assert last["delivery_info"]["priority"] == 3
        assert 0 < len(second["args"]) < 2000, "of a long message as text, and not all of it"
        assert first["hostname"].startswith(f"plain-{way[0]}@")
        assert in_queue() == found, "looking changes nothing"
    finally:
        plain.control.cancel_consumer(listed, reply=True, timeout=PATIENT, limit=1)
        plain_broker.delete(keys.delayed(listed))


def add_queue(app: Celery, name: str) -> None:
    """Have the worker serve one more queue."""
    app.control.add_consumer(name, reply=True, timeout=PATIENT, limit=1)

    def is_served() -> bool:
        queues = only_reply(app.control.inspect(timeout=PATIENT, limit=1).active_queues())
        return name in {queue["name"] for queue in queues}

    wait_until(is_served, f"it takes from {name}")  # Celery replies before it does


def test_a_queue_is_added_and_cancelled(task: TaskOf, plain: Celery) -> None:
    inspect = plain.control.inspect(timeout=PATIENT, limit=1)

    def names() -> set[str]:
        names = {queue["name"] for queue in only_reply(inspect.active_queues())}
        return {name for name in names if not name.startswith("bcast.")}

    plain.control.add_consumer("other", reply=True, timeout=PATIENT, limit=1)
    wait_until(lambda: names() == {"celery", "other"}, "it takes from the other queue")  # Celery replies before it does
    assert task("echo").apply_async((1,), queue="other").get(timeout=WAIT) == 1
    plain.control.cancel_consumer("other", reply=True, timeout=PATIENT, limit=1)
    wait_until(lambda: names() == {"celery"}, "it takes from the other queue no more")
    waits = task("echo").apply_async((2,), queue="other")
    assert task("echo").delay(3).get(timeout=WAIT) == 3
    assert waits.state == "PENDING"
    plain.control.add_consumer("other", reply=True, timeout=PATIENT, limit=1)
    assert waits.get(timeout=WAIT) == 2
    plain.control.cancel_consumer("other", reply=True, timeout=PATIENT, limit=1)


def test_rate_limit(task: TaskOf, plain: Celery) -> None:
    name = task("total").name
    plain.control.rate_limit(name, "10/s", reply=True, timeout=PATIENT, limit=1)
    try:
        began = time.monotonic()
        assert [result.get(timeout=WAIT) for result in [task("total").delay([n]) for n in range(5)]] == list(range(5))
        assert time.monotonic() - began > 0.3
    finally:
        plain.control.rate_limit(name, 0, reply=True, timeout=PATIENT, limit=1)


def test_revoke_by_remote_control_is_remembered(task: TaskOf, plain: Celery) -> None:
    task_id = uuid4().hex
    replies = plain.control.revoke(task_id, reply=True, timeout=PATIENT, limit=1)
    assert "revoked" in str(only_reply(replies))
    assert task_id in only_reply(plain.control.inspect(timeout=PATIENT, limit=1).revoked())
    with pytest.raises(TaskRevokedError):
        task("echo").apply_async((1,), task_id=task_id).get(timeout=WAIT)


def listeners(broker: redis.Redis) -> int:
    database = str(broker.connection_pool.connection_kwargs["db"])
    return sum(client["psub"] == "1" and client["db"] == database for client in broker.client_list("pubsub"))


def test_a_broadcast_reaches_every_worker_and_remote_control_stops_one(
    task: TaskOf, plain: Celery, trace: Trace, way: Way, start: StartWorker, plain_url: str, plain_broker: redis.Redis
) -> None:
    environment = {"TWINS_URL": plain_url, "PLAIN_URL": plain_url}
    second = start("", pool=way[0], application="tests.support.plain_twins", environment=environment)
    # Each worker listens for remote control, and for the broadcast.
    wait_until(lambda: listeners(plain_broker) == 4, "both listen", within=60)
    key = uuid4().hex
    news = Exchange("news", type="fanout")
    sent_to = {"exchange": news, "routing_key": "celery", "declare": [news]}
    task("note").apply_async(("heard", key), ignore_result=True, **sent_to)
    wait_until(lambda: trace.of(key) == ["note heard"] * 2, "both have heard it", within=60)
    plain.control.shutdown(destination=[f"{second.name}@{socket.gethostname()}"])
    assert second.wait_end() == 0
    assert task("echo").delay(1).get(timeout=WAIT) == 1
