"""First runs begin as their messages are taken, and succeed with one short script. All other runs ask."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from celeriac.core.clock import now_ms
from celeriac.core.envelope import EnvelopeWriter, MessageOptions
from celeriac.core.records import Failure, JobRecord, Progress, parse_record
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import beginnings, enqueueing, transitions
from celeriac.store.jobs.beginnings import Beginning, Permit
from celeriac.store.jobs.enqueueing import FanOut, JobKind, NewJob
from celeriac.store.jobs.events import read_events
from celeriac.store.jobs.transitions import Publication
from celeriac.store.messages import deliveries, taking, worker_leases
from celeriac.store.messages.deliveries import Success
from celeriac.store.messages.taking import Source, Taken
from celeriac.store.redis.connection import connect
from celeriac.store.redis.runner import run_blocking
from tests.support.waiting import wait_until

LIFE_MS = 60_000
SOURCE = Source("q", ["q"])
_WRITER = EnvelopeWriter()


def new(job_id: str, **fields: Any) -> NewJob:
    message = _WRITER.write("t", job_id, b"{}", MessageOptions(queue="q"))
    return NewJob(JobKind(task="t", queue="q", list_key="q", **fields), job_id, message, b"{}")


def enqueue(broker: redis.Redis, *given: NewJob) -> None:
    assert run_blocking(broker, enqueueing.enqueue(given)).verdict == "accepted"


def take(
    broker: redis.Redis,
    *,
    worker: str = "w",
    number: int = 1,
    count: int = 1,
    shown: str = "mail@host",
    held: bool = True,
) -> Taken:
    source = Source("q", ["q"], held=held)
    receipt = f"{worker}/{number}"
    call = taking.take([source], worker=worker, receipt=receipt, count=count, lease_ms=60_000, shown=shown)
    return run_blocking(broker, call)


def begun(taken: Taken) -> list[int]:
    return list(taken.begun)


def ask(broker: redis.Redis, job_id: str, receipt: str, *, attempt: int = 1, parent: str | None = None) -> Permit:
    beginning = Beginning(
        job_id=job_id,
        task="t",
        queue="q",
        parent_id=parent,
        attempt=attempt,
        worker="mail@host",
        receipt=receipt,
        retention_ms=LIFE_MS,
    )
    (permit,) = run_blocking(broker, beginnings.begin([beginning]))
    assert isinstance(permit, Permit)
    return permit


def succeed(broker: redis.Redis, *successes: tuple[str, str], worker: str = "w") -> dict[str, str]:
    """Report the success of these jobs, which have a receipt and an id."""
    given = [Success(receipt, job_id, outcome(job_id), LIFE_MS) for receipt, job_id in successes]
    return run_blocking(broker, deliveries.succeed(worker, given))


def outcome(job_id: str) -> bytes:
    return json.dumps({"status": "SUCCESS", "result": 1, "task_id": job_id}).encode()


def record(broker: redis.Redis, job_id: str) -> JobRecord:
    return parse_record(job_id, broker.hgetall(keys.record(job_id)))


def cancel(broker: redis.Redis, job_id: str) -> str:
    return run_blocking(broker, transitions.cancel(job_id, outcome=b"{}", retention_ms=LIFE_MS)).verdict


async def told(broker_url: str, job_id: str, after: str = "0-0") -> list[tuple[str, dict[str, Any]]]:
    """The events of a job, with their ids."""
    client = connect(broker_url, timeout=2)
    try:
        return [(event.id, event.data) for event in await read_events(client, job_id, after)]
    finally:
        await client.aclose()


def test_a_new_job_begins_as_it_is_taken(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"))
    assert begun(take(broker, count=5)) == [1, 1]
    known = record(broker, "b")
    assert (known.state, known.attempt, known.worker) == (JobState.RUNNING, 1, "mail@host")
    assert known.started_at is not None and known.updated_at == known.started_at >= known.created_at
    assert (broker.hget(keys.record("b"), "run"), broker.hget(keys.record("b"), "receipt")) == (b"1", b"w/2")


def test_who_asks_again_gets_the_same_messages_and_the_same_run(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    first, again = take(broker), take(broker)
    assert first.messages == again.messages
    assert (begun(first), begun(again)) == ([1], [0])  # so the worker asks, which costs it nothing but time
    assert ask(broker, "a", "w/1") == Permit("run", 1)
    assert broker.hget(keys.record("a"), "lost") is None


def _scheduled(broker: redis.Redis) -> None:
    enqueue(broker, new("a", delay_until=datetime.now(UTC) - timedelta(seconds=1)))


def _child(broker: redis.Redis) -> None:
    enqueue(broker, new("parent"))
    take(broker, worker="other")
    ask(broker, "parent", "other/1")
    call = enqueueing.enqueue([new("a", parent_id="parent")], fan_out=FanOut("parent", 1, "q", b"resume"))
    assert run_blocking(broker, call).verdict == "accepted"


def _retried(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker, worker="other")
    publication = Publication("q", "q", new("a").message, None)
    error = Failure("Error", "once more")
    call = transitions.retry(publication, "a", attempt=1, run=1, error=error, outcome=b"")
    assert run_blocking(broker, call) == "published"


def _retried_by_hand(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    cancel(broker, "a")
    broker.delete("q")
    assert run_blocking(broker, enqueueing.requeue(new("a"))).verdict == "queued"


def _brought_back(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker, worker="other")
    run_blocking(broker, worker_leases.reclaim(["other"]))


def _cancelled(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    cancel(broker, "a")


def _old(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    broker.hset(keys.record("a"), "created", now_ms() - 5 * 86_400_000)  # its life has to be prolonged


def _by_another_producer(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    broker.lset("q", 0, json.dumps({"body": "", "headers": {"task": "t", "id": "a", "root_id": "a"}}))


def _without_a_record(broker: redis.Redis) -> None:
    broker.lpush("q", new("a").message)


def _of_another_type(broker: redis.Redis) -> None:
    broker.lpush("q", new("a").message)
    broker.set(keys.record("a"), "no record")


@pytest.mark.parametrize(
    "prepare",
    [
        *(_scheduled, _child, _retried, _retried_by_hand, _brought_back, _cancelled, _old),
        *(_by_another_producer, _without_a_record, _of_another_type),
    ],
)
def test_any_other_job_is_asked_about(broker: redis.Redis, prepare: Any) -> None:
    prepare(broker)
    before = broker.hgetall(keys.record("a")) if broker.type(keys.record("a")) == b"hash" else None
    assert begun(take(broker)) == [0]
    if before is not None and before.get(b"state") != b"scheduled":  # which is queued when it is due
        assert broker.hgetall(keys.record("a")) == before


def test_nothing_begins_in_a_queue_without_a_hold_or_for_a_worker_that_has_no_name(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"))
    assert begun(take(broker, held=False)) == [0]
    assert begun(take(broker, number=2, shown="")) == [0]
    assert {record(broker, job_id).state for job_id in "ab"} == {JobState.QUEUED}


def test_a_job_that_was_cancelled_while_it_waited_in_its_worker_does_not_run(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker)
    assert cancel(broker, "a") == "requested"
    assert ask(broker, "a", "w/1") == Permit("cancelled")
    assert record(broker, "a").state is JobState.CANCELLED


def test_success_is_stored_with_the_acknowledgement(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"))
    take(broker, count=2)
    assert succeed(broker, ("w/1", "a"), ("w/2", "b")) == {}
    known = record(broker, "a")
    assert (known.state, known.updated_at) == (JobState.SUCCEEDED, known.finished_at)
    assert broker.get(keys.result("b")) == outcome("b")
    assert not broker.exists(keys.held("w"), keys.events("a"))
    assert all(0 < broker.pttl(key) <= LIFE_MS for key in (keys.record("a"), keys.result("a")))


def test_an_outcome_that_nobody_wants_is_not_stored(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker)
    assert run_blocking(broker, deliveries.succeed("w", [Success("w/1", "a", b"", LIFE_MS)])) == {}
    assert record(broker, "a").state is JobState.SUCCEEDED
    assert not broker.exists(keys.result("a"))


def test_success_counts_for_the_worker_that_holds_the_message_only(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"))
    take(broker, worker="frozen", count=1)
    run_blocking(broker, worker_leases.reclaim(["frozen"]))
    take(broker, worker="frozen", number=2, count=1)  # "a" again, as it is the oldest
    ask(broker, "a", "frozen/2")
    take(broker, worker="frozen", number=3, count=1)
    assert succeed(broker, ("frozen/1", "a"), ("frozen/3", "b"), worker="frozen") == {"frozen/1": ""}
    assert record(broker, "a").state is JobState.RUNNING
    assert record(broker, "b").state is JobState.SUCCEEDED
    assert broker.get(keys.result("a")) is None


def test_success_of_a_message_that_was_brought_back_and_waits_is_refused(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker, worker="frozen")
    run_blocking(broker, worker_leases.reclaim(["frozen"]))
    assert succeed(broker, ("frozen/1", "a"), worker="frozen") == {"frozen/1": ""}
    assert broker.llen("q") == 1 and broker.get(keys.result("a")) is None


def test_after_a_server_has_lost_everything_success_leaves_no_half_record(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker)
    broker.flushdb()
    assert succeed(broker, ("w/1", "a")) == {"w/1": ""}
    assert broker.keys() == []


def test_a_record_that_became_something_else_keeps_no_other_job_from_its_end(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"))
    take(broker, count=2)
    broker.set(keys.record("a"), "no record")
    refused = succeed(broker, ("w/1", "a"), ("w/2", "b"))
    assert refused.keys() == {"w/1"} and "WRONGTYPE" in refused["w/1"]
    assert record(broker, "b").state is JobState.SUCCEEDED


def test_a_run_that_was_lost_counts_as_lost(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker, worker="gone")
    run_blocking(broker, worker_leases.reclaim(["gone"]))
    assert begun(take(broker)) == [0]
    assert ask(broker, "a", "w/1") == Permit("run", 2)
    assert broker.hget(keys.record("a"), "lost") == b"1"


@pytest.mark.parametrize("later", [False, True])
def test_a_job_that_is_given_back_before_it_runs_is_queued_again(broker: redis.Redis, later: bool) -> None:
    enqueue(broker, new("a"))
    take(broker)
    if later:
        assert run_blocking(broker, deliveries.put_off("w", "w/1", "q", now_ms() - 1, has_begun=True))
    else:
        assert run_blocking(broker, deliveries.put_back("w", "w/1", "first", has_begun=True))
    known = record(broker, "a")
    assert (known.state, known.attempt, known.started_at, known.worker) == (JobState.QUEUED, 0, None, None)
    assert begun(take(broker, number=2)) == [0]
    assert ask(broker, "a", "w/2") == Permit("run", 1)
    assert broker.hget(keys.record("a"), "lost") is None


def test_a_message_that_another_worker_runs_is_not_put_back_into_its_queue(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    take(broker, worker="frozen")
    run_blocking(broker, worker_leases.reclaim(["frozen"]))
    take(broker)
    ask(broker, "a", "w/1")
    assert not run_blocking(broker, deliveries.put_back("frozen", "frozen/1", "first", has_begun=True))
    assert record(broker, "a").state is JobState.RUNNING


async def test_the_events_of_a_first_run_follow_from_its_record(broker: redis.Redis, broker_url: str) -> None:
    enqueue(broker, new("a"))
    assert await told(broker_url, "a") == []
    take(broker)
    run_blocking(broker, transitions.progress("a", Progress(1, 2)))
    succeed(broker, ("w/1", "a"))
    events = await told(broker_url, "a")
    assert [data for _, data in events] == [
        {"state": "running", "attempt": 1},
        {"done": 1, "total": 2, "message": ""},
        {"state": "succeeded"},
    ]
    for number, (event_id, _) in enumerate(events, start=1):  # whoever reconnects gets what follows
        assert await told(broker_url, "a", event_id) == events[number:]


async def test_the_events_of_later_runs_are_stored_and_told_once(broker: redis.Redis, broker_url: str) -> None:
    enqueue(broker, new("a"))
    take(broker)
    error = Failure("Error", "once more")
    publication = Publication("q", "q", new("a").message, None)
    run_blocking(broker, transitions.retry(publication, "a", attempt=1, run=1, error=error, outcome=b""))
    take(broker, number=2)
    ask(broker, "a", "w/2", attempt=2)
    change = transitions.Transition(job_id="a", state=JobState.SUCCEEDED, run=2, retention_ms=LIFE_MS)
    assert run_blocking(broker, transitions.transition(change))
    states = [(data["state"], data.get("attempt")) for _, data in await told(broker_url, "a")]
    assert states == [("running", 1), ("retrying", 1), ("running", 2), ("succeeded", None)]


@pytest.mark.parametrize("listeners", [1, 501])
def test_who_listens_hears_of_the_run_and_of_its_result(broker: redis.Redis, listeners: int) -> None:
    enqueue(broker, new("a"))
    with broker.pubsub(ignore_subscribe_messages=True) as heard:
        others = [keys.events(f"other-{number}") for number in range(listeners - 1)]
        heard.subscribe(keys.events("a"), keys.result("a"), *others)
        pattern = keys.events("") + "*"
        wait_until(lambda: len(broker.pubsub_channels(pattern)) == listeners, "the server has subscribed all")
        take(broker)
        assert heard_next(heard) == (keys.events("a"), b"state")
        succeed(broker, ("w/1", "a"))
        assert [heard_next(heard) for _ in range(2)] == [
            (keys.result("a"), outcome("a")),
            (keys.events("a"), b"state"),
        ]
    assert broker.exists(keys.CROWD) == (listeners > 500)


def test_a_user_who_may_not_ask_who_listens_publishes_for_every_job(broker: redis.Redis, broker_url: str) -> None:
    enqueue(broker, new("a"))
    broker.acl_setuser(
        "modest", enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=["+@all", "-pubsub"]
    )
    try:
        with redis.Redis.from_url(broker_url, single_connection_client=True) as modest, broker.pubsub() as heard:
            modest.auth("secret", "modest")
            heard.subscribe(keys.events("a"))
            assert heard.get_message(timeout=30) is not None  # it has subscribed
            assert begun(take(modest)) == [1]
            assert heard_next(heard) == (keys.events("a"), b"state")
            assert succeed(modest, ("w/1", "a")) == {}
            assert heard_next(heard) == (keys.events("a"), b"state")
    finally:
        broker.acl_deluser("modest")


def heard_next(heard: Any) -> tuple[str, bytes]:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        message = heard.get_message(timeout=1)
        if message is not None:
            return message["channel"].decode(), message["data"]
    raise AssertionError("nothing was published")
