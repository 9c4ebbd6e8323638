"""Which run of a job counts: the races between workers, callers and messages, step by step."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from celeriac.core.clock import now_ms
from celeriac.core.records import Failure, JobRecord, Progress, parse_record
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import beginnings, enqueueing, transitions
from celeriac.store.jobs.beginnings import LOST_RUNS, Beginning, Permit
from celeriac.store.jobs.enqueueing import FanOut, JobKind, NewJob
from celeriac.store.jobs.transitions import Publication, Transition
from celeriac.store.messages import deliveries, taking, worker_leases
from celeriac.store.messages.deliveries import Ending
from celeriac.store.messages.taking import Source
from celeriac.store.redis.runner import run_blocking

RETENTION = 60_000
ERROR = Failure("OrderRejected", "no hinges", "Traceback ...")


def new(job_id: str, **fields: Any) -> NewJob:
    message = json.dumps({"headers": {"id": job_id}, "properties": {}}).encode()
    return NewJob(JobKind(task="t", queue="q", list_key="q", **fields), job_id, message, b"{}")


def enqueue(broker: redis.Redis, *given: NewJob) -> None:
    assert run_blocking(broker, enqueueing.enqueue(given)).verdict == "accepted"


def take(broker: redis.Redis, worker: str, number: int = 1) -> str:
    """A worker takes the next message; the receipt."""
    receipt = f"{worker}/{number}"
    call = taking.take([Source("q", ["q"])], worker=worker, receipt=receipt, count=1, lease_ms=60_000)
    assert run_blocking(broker, call).messages
    return receipt


def begin(broker: redis.Redis, job_id: str, receipt: str, *, attempt: int = 1, parent: str | None = None) -> Permit:
    (permit,) = run_blocking(broker, beginnings.begin([beginning(job_id, receipt, attempt=attempt, parent=parent)]))
    assert isinstance(permit, Permit)
    return permit


def beginning(job_id: str, receipt: str, *, attempt: int = 1, parent: str | None = None) -> Beginning:
    return Beginning(
        job_id=job_id,
        task="t",
        queue="q",
        parent_id=parent,
        attempt=attempt,
        worker="someone",
        receipt=receipt,
        retention_ms=RETENTION,
    )


def report(broker: redis.Redis, job_id: str, state: JobState, run: int | None, parent: str | None = None) -> bool:
    outcome = json.dumps({"status": state}).encode()
    change = Transition(job_id=job_id, state=state, run=run, outcome=outcome, parent_id=parent, retention_ms=RETENTION)
    return run_blocking(broker, transitions.transition(change))


def retry(broker: redis.Redis, job_id: str, run: int | None, *, attempt: int = 1, due: int | None = None) -> str:
    publication = Publication("q", "q", new(job_id).message, due)
    call = transitions.retry(publication, job_id, attempt=attempt, run=run, error=ERROR, outcome=b"{}")
    return run_blocking(broker, call)


def cancel(broker: redis.Redis, job_id: str) -> str:
    return run_blocking(broker, transitions.cancel(job_id, outcome=b"{}", retention_ms=RETENTION)).verdict


def vanish(broker: redis.Redis, worker: str) -> None:
    run_blocking(broker, worker_leases.reclaim([worker]))


def record(broker: redis.Redis, job_id: str) -> JobRecord:
    return parse_record(job_id, broker.hgetall(keys.record(job_id)))


def test_every_begin_is_a_run_of_its_own_and_only_the_latest_may_report(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    first = begin(broker, "a", take(broker, "frozen"))
    vanish(broker, "frozen")
    second = begin(broker, "a", take(broker, "other"))
    assert (first, second) == (Permit("run", 1), Permit("run", 2))
    assert not report(broker, "a", JobState.FAILED, first.run)
    assert retry(broker, "a", first.run) == "superseded"
    assert record(broker, "a").state is JobState.RUNNING
    assert report(broker, "a", JobState.SUCCEEDED, second.run)
    assert not report(broker, "a", JobState.FAILED, first.run)
    assert record(broker, "a").state is JobState.SUCCEEDED


def test_jobs_begin_together_and_what_is_wrong_with_one_is_no_other_s_concern(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"), new("d"))
    cancel(broker, "b")
    broker.set(keys.record("c"), "no record")
    asked = [beginning(job_id, "") for job_id in "abcd"]
    first, second, third, fourth = run_blocking(broker, beginnings.begin(asked))
    assert (first, second, fourth) == (Permit("run", 1), Permit("cancelled"), Permit("run", 1))
    assert isinstance(third, redis.ResponseError)
    assert "WRONGTYPE" in str(third)


def test_a_question_that_is_asked_twice_begins_one_run(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    receipt = take(broker, "w")
    assert begin(broker, "a", receipt) == begin(broker, "a", receipt) == Permit("run", 1)


def test_a_message_whose_outcome_cannot_be_stored_is_held_on_and_holds_up_no_other(broker: redis.Redis) -> None:
    enqueue(broker, new("a"), new("b"))
    receipts = [take(broker, "w", 1), take(broker, "w", 2)]
    runs = [begin(broker, job_id, receipt).run for job_id, receipt in zip("ab", receipts, strict=True)]
    broker.set(keys.record("a"), "no record")
    endings = [
        Ending(receipt, Transition(job_id=job_id, state=JobState.SUCCEEDED, run=run, retention_ms=RETENTION))
        for job_id, receipt, run in zip("ab", receipts, runs, strict=True)
    ]
    refused = run_blocking(broker, deliveries.finish("w", endings))
    assert list(refused) == [receipts[0]]
    assert "WRONGTYPE" in refused[receipts[0]]
    assert record(broker, "b").state is JobState.SUCCEEDED
    assert broker.hkeys(keys.held("w")) == [receipts[0].encode()]
    assert run_blocking(broker, deliveries.finish("w", endings)) == {**refused, receipts[1]: ""}


def test_a_message_that_was_given_to_another_may_not_begin(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    receipt = take(broker, "frozen")
    vanish(broker, "frozen")
    assert begin(broker, "a", receipt) == Permit("stale")  # it woke up before anyone else had begun
    assert begin(broker, "a", take(broker, "other")).verdict == "run"


def test_of_two_messages_of_one_job_one_runs(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    broker.lpush("q", new("a").message)
    one, two = take(broker, "w", 1), take(broker, "w", 2)
    run = begin(broker, "a", one).run
    assert begin(broker, "a", two) == Permit("stale")
    assert report(broker, "a", JobState.SUCCEEDED, run)
    assert begin(broker, "a", two) == Permit("stale")


def test_the_second_message_runs_if_the_first_one_s_worker_has_vanished(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    broker.lpush("q", new("a").message)
    begin(broker, "a", take(broker, "gone"))
    two = take(broker, "w")
    vanish(broker, "gone")
    assert begin(broker, "a", two).verdict == "run"


def test_a_task_that_is_acknowledged_before_it_runs_holds_nothing_and_may_begin(broker: redis.Redis) -> None:
    assert begin(broker, "a", "").verdict == "run"


def test_a_retry_is_published_and_recorded_in_one_step(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    receipt = take(broker, "w")
    run = begin(broker, "a", receipt).run
    due = now_ms() + 60_000
    assert retry(broker, "a", run, due=due) == "published"
    seen = record(broker, "a")
    assert (seen.state, seen.error) == (JobState.RETRYING, ERROR)
    assert seen.delay_until == datetime.fromtimestamp(due / 1000, UTC)
    assert broker.zcard(keys.delayed("q")) == 1


def test_a_worker_that_vanishes_after_publishing_a_retry_leaves_one_attempt_and_not_two(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    run = begin(broker, "a", take(broker, "gone")).run
    assert retry(broker, "a", run) == "published"
    assert retry(broker, "a", run) == "repeated"  # the first reply was lost
    vanish(broker, "gone")  # which had not acknowledged the message of the first attempt
    assert broker.llen("q") == 2
    assert begin(broker, "a", take(broker, "w", 1), attempt=1) == Permit("stale")
    assert begin(broker, "a", take(broker, "w", 2), attempt=2).verdict == "run"


def test_a_retry_that_is_due_counts_although_its_predecessor_is_delivered_again(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    run = begin(broker, "a", take(broker, "gone")).run
    retry(broker, "a", run, due=now_ms() - 1)
    second = take(broker, "w", 1)  # it was due, so the job is queued again
    assert record(broker, "a").state is JobState.QUEUED
    vanish(broker, "gone")
    assert begin(broker, "a", take(broker, "w", 2), attempt=1) == Permit("stale")
    assert begin(broker, "a", second, attempt=2).verdict == "run"


def test_a_job_that_is_cancelled_while_it_fails_is_not_delayed_first(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    receipt = take(broker, "w")
    run = begin(broker, "a", receipt).run
    assert cancel(broker, "a") == "requested"
    assert retry(broker, "a", run, due=now_ms() + 60_000) == "published"
    assert broker.llen("q") == 1
    assert begin(broker, "a", take(broker, "w", 2), attempt=2) == Permit("cancelled")
    assert record(broker, "a").state is JobState.CANCELLED


def test_nothing_is_published_for_a_job_that_has_ended(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    run = begin(broker, "a", take(broker, "w")).run
    report(broker, "a", JobState.SUCCEEDED, run)
    assert retry(broker, "a", run) == "succeeded"
    assert broker.llen("q") == 0


@pytest.mark.parametrize("end", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_an_end_is_final_for_workers(broker: redis.Redis, end: JobState) -> None:
    enqueue(broker, new("a"))
    run = begin(broker, "a", take(broker, "w")).run
    assert report(broker, "a", end, run)
    for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.RETRYING, JobState.RUNNING):
        assert not report(broker, "a", state, run)
        assert not report(broker, "a", state, None)
    assert record(broker, "a").state is end


def test_the_report_of_a_run_that_was_cancelled_and_retried_by_hand_is_refused(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    run = begin(broker, "a", take(broker, "w", 1)).run
    cancel(broker, "a")
    assert report(broker, "a", JobState.CANCELLED, None)  # by Celery's revoke, say, while the job still runs
    assert run_blocking(broker, enqueueing.requeue(new("a"))).verdict == "queued"
    assert not report(broker, "a", JobState.SUCCEEDED, run)
    assert record(broker, "a").state is JobState.QUEUED
    again = begin(broker, "a", take(broker, "v"))  # the run of before is told to stop by the worker that has it
    assert again.verdict == "run"
    assert not report(broker, "a", JobState.SUCCEEDED, run)
    assert report(broker, "a", JobState.SUCCEEDED, again.run)


def test_a_job_cancelled_in_its_queue_does_not_begin(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    assert cancel(broker, "a") == "cancelled"
    assert begin(broker, "a", take(broker, "w")) == Permit("cancelled")


def test_a_cancelled_job_whose_worker_vanishes_ends_with_the_next_delivery(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    begin(broker, "a", take(broker, "gone"))
    assert cancel(broker, "a") == "requested"
    vanish(broker, "gone")
    assert begin(broker, "a", take(broker, "w")) == Permit("cancelled")
    assert record(broker, "a").state is JobState.CANCELLED


def test_a_job_that_takes_worker_after_worker_along_is_given_up_with_its_cause(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    for number in range(LOST_RUNS):
        assert begin(broker, "a", take(broker, f"w{number}")).verdict == "run"
        vanish(broker, f"w{number}")
    assert begin(broker, "a", take(broker, "w")) == Permit("dead")
    seen = record(broker, "a")
    assert seen.state is JobState.DEAD
    assert seen.error == Failure("WorkerLost", "its worker vanished 5 times while it ran the job")
    assert json.loads(broker.get(keys.result("a")) or b"")["status"] == "FAILURE"
    assert run_blocking(broker, enqueueing.requeue(new("a"))).verdict == "queued"
    assert begin(broker, "a", take(broker, "w", 2)).verdict == "run"  # counted anew


def test_attempts_that_end_in_order_do_not_count_as_lost(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    for attempt in range(1, 3 * LOST_RUNS):
        permit = begin(broker, "a", take(broker, "w", attempt), attempt=attempt)
        assert permit.verdict == "run"
        assert retry(broker, "a", permit.run, attempt=attempt) == "published"


class Family:
    """A parent that has fanned out."""

    def __init__(self, broker: redis.Redis, children: int = 3) -> None:
        self.broker = broker
        enqueue(broker, new("parent"))
        self.receipt = take(broker, "w", 0)
        self.run = begin(broker, "parent", self.receipt).run
        self.children = [new(f"child-{n}", parent_id="parent") for n in range(children)]
        assert self.fan_out() == "accepted"

    def fan_out(self, run: int | None = None) -> str:
        resume = json.dumps({"resume": True}).encode()
        fan_out = FanOut("parent", self.run if run is None else run, "q", resume)
        return run_blocking(self.broker, enqueueing.enqueue(self.children, fan_out=fan_out)).verdict

    def end(self, number: int, state: JobState = JobState.SUCCEEDED) -> bool:
        run = begin(self.broker, f"child-{number}", "", parent="parent").run
        return report(self.broker, f"child-{number}", state, run, parent="parent")

    def resumed(self) -> int:
        """How many messages that run the parent again are in the queue."""
        return sum(b"resume" in message for message in self.broker.lrange("q", 0, -1))


def test_the_parent_is_resumed_once_by_the_last_child(broker: redis.Redis) -> None:
    family = Family(broker)
    for number, resumed in ((2, 0), (0, 0), (1, 1)):
        assert family.end(number)
        assert family.resumed() == resumed
    assert not report(broker, "child-1", JobState.FAILED, None, parent="parent")
    assert family.resumed() == 1
    assert record(broker, "parent").children == {"total": 3, "open": 0, "succeeded": 3, "failed": 0, "cancelled": 0}


def test_a_parent_delivered_again_while_it_waits_does_not_run(broker: redis.Redis) -> None:
    family = Family(broker)
    vanish(broker, "w")  # it had fanned out, and not acknowledged
    assert begin(broker, "parent", "") == Permit("stale")
    assert family.fan_out() == "accepted"  # the same step, sent again: the children are there
    assert record(broker, "parent").children == {"total": 3, "open": 3, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert broker.llen("q") == 4  # the three children, and the parent's own message


def test_a_parent_delivered_again_when_its_children_have_ended_runs_once(broker: redis.Redis) -> None:
    family = Family(broker, children=1)
    child = take(broker, "w", 1)
    run = begin(broker, "child-0", child, parent="parent").run
    vanish(broker, "w")  # both messages are back, unacknowledged
    assert report(broker, "child-0", JobState.SUCCEEDED, run, parent="parent")
    assert broker.llen("q") == 3  # parent, child, and the message that resumes the parent
    receipts = [take(broker, "v", number) for number in range(3)]
    first = begin(broker, "parent", receipts[0])
    assert (first.verdict, first.children is not None) == ("run", True)
    assert begin(broker, "parent", receipts[2]) == Permit("stale")
    assert report(broker, "parent", JobState.SUCCEEDED, first.run)
    assert begin(broker, "parent", receipts[2]) == Permit("stale")
    assert family.run != first.run


def days_left(broker: redis.Redis, job_id: str) -> float:
    return broker.pttl(keys.record(job_id)) / 86_400_000  # type: ignore[operator]


def fan_out(broker: redis.Redis, parent: str, child: str, receipt: str) -> None:
    run = begin(broker, parent, receipt).run
    call = enqueueing.enqueue([new(child, parent_id=parent)], fan_out=FanOut(parent, run, "q", b"resume"))
    assert run_blocking(broker, call).verdict == "accepted"


def test_all_who_wait_for_a_job_outlive_the_delay_of_its_next_attempt(broker: redis.Redis) -> None:
    enqueue(broker, new("grandparent"))
    fan_out(broker, "grandparent", "parent", take(broker, "w", 1))
    fan_out(broker, "parent", "child", take(broker, "w", 2))
    run = begin(broker, "child", take(broker, "w", 3), parent="parent").run
    assert retry(broker, "child", run, due=now_ms() + 60 * 86_400_000) == "published"
    for job_id in ("child", "parent", "grandparent"):
        assert 89 < days_left(broker, job_id) <= 90


def test_all_who_wait_for_a_job_that_begins_late_wait_on(broker: redis.Redis) -> None:
    enqueue(broker, new("parent"))
    fan_out(broker, "parent", "child", take(broker, "w", 1))
    broker.hset(keys.record("child"), "updated", now_ms() - 29 * 86_400_000)
    for job_id in ("parent", "child"):
        broker.pexpire(keys.record(job_id), 86_400_000)
    assert begin(broker, "child", take(broker, "w", 2), parent="parent").verdict == "run"
    assert days_left(broker, "child") > 29
    assert days_left(broker, "parent") > 29


def test_a_job_that_tells_of_its_progress_is_known_for_as_long_as_it_runs(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    begin(broker, "a", take(broker, "w"))
    broker.pexpire(keys.record("a"), 86_400_000)
    assert run_blocking(broker, transitions.progress("a", Progress(1)))
    assert days_left(broker, "a") > 29


def test_a_superseded_run_of_the_parent_cannot_fan_out(broker: redis.Redis) -> None:
    enqueue(broker, new("parent"))
    run = begin(broker, "parent", take(broker, "frozen")).run
    vanish(broker, "frozen")
    begin(broker, "parent", take(broker, "w"))
    fan_out = FanOut("parent", run, "q", b"resume")
    children = [new("child", parent_id="parent")]
    assert run_blocking(broker, enqueueing.enqueue(children, fan_out=fan_out)).verdict == "refused"
    assert broker.exists(keys.record("child")) == 0


def test_a_parent_that_never_heard_of_its_fan_out_and_fails_is_run_again_after_its_children(
    broker: redis.Redis,
) -> None:
    family = Family(broker, children=1)
    assert retry(broker, "parent", family.run) == "waiting"
    assert record(broker, "parent").state is JobState.RUNNING
    family.end(0)
    assert family.resumed() == 1


def test_a_cancelled_parent_takes_its_children_along(broker: redis.Redis) -> None:
    family = Family(broker)
    assert cancel(broker, "parent") == "cancelled"  # no worker runs it: it waits
    assert begin(broker, "child-0", "", parent="parent") == Permit("cancelled")
    assert family.resumed() == 0


@pytest.mark.parametrize(
    ("state", "counted"),
    [(JobState.FAILED, "failed"), (JobState.CANCELLED, "cancelled"), (JobState.DEAD, "failed")],
)
def test_a_child_counts_in_whatever_state_it_ends(broker: redis.Redis, state: JobState, counted: str) -> None:
    family = Family(broker, children=1)
    assert family.end(0, state)
    children = record(broker, "parent").children
    assert children is not None
    assert children[counted] == 1
    assert family.resumed() == 1


def test_a_child_that_is_run_again_by_hand_is_not_counted_again(broker: redis.Redis) -> None:
    family = Family(broker)
    family.end(0, JobState.FAILED)
    run_blocking(broker, enqueueing.requeue(family.children[0]))
    family.end(0)
    children = record(broker, "parent").children
    assert children is not None
    assert children["open"] == 2


def test_progress_is_taken_from_running_jobs_only(broker: redis.Redis) -> None:
    enqueue(broker, new("a"))
    assert not run_blocking(broker, transitions.progress("a", Progress(1)))
    run = begin(broker, "a", "").run
    assert run_blocking(broker, transitions.progress("a", Progress(1, 2, "halfway")))
    report(broker, "a", JobState.SUCCEEDED, run)
    assert not run_blocking(broker, transitions.progress("a", Progress(2)))
    assert record(broker, "a").progress == Progress(1, 2, "halfway")


def test_all_that_is_kept_of_a_job_has_its_time_and_after_the_end_the_retention(broker: redis.Redis) -> None:
    delay = timedelta(days=60)
    enqueue(broker, new("a"), new("late", delay_until=datetime.now(UTC) + delay))
    assert broker.pttl(keys.record("late")) > delay.total_seconds() * 1000
    run = begin(broker, "a", take(broker, "w")).run
    report(broker, "a", JobState.SUCCEEDED, run)
    for key in (keys.record("a"), keys.events("a"), keys.result("a")):
        assert 0 < broker.pttl(key) <= RETENTION
    assert broker.pttl(keys.JOB_INDEX) > 0
