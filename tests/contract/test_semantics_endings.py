"""What Celery promises of a task that does not simply return, on a plain application, in every pool."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.exceptions import (
    MaxRetriesExceededError,
    Reject,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
)

from celeriac.store import keys
from tests.contract.conftest import TaskOf, ways
from tests.support.contract_jobs import Trace
from tests.support.waiting import wait_until
from tests.support.workers import Worker

WAIT = 60
#: Celery's threads and its solo pool can stop nothing that runs.
CAN_STOP = pytest.mark.parametrize("way", ways("asyncio", "prefork"), indirect=True, scope="session")
CANNOT_STOP = pytest.mark.parametrize("way", ways("solo", "threads"), indirect=True, scope="session")


def test_countdown_and_eta(task: TaskOf) -> None:
    sent = time.monotonic()
    eta = datetime.now(UTC) + timedelta(seconds=0.4)
    results = [task("echo").apply_async((1,), countdown=0.4), task("echo").apply_async((1,), eta=eta)]
    assert not any(result.ready() for result in results)
    assert [result.get(timeout=WAIT) for result in results] == [1, 1]
    assert time.monotonic() - sent >= 0.4


def test_what_has_expired_is_not_run(task: TaskOf, trace: Trace) -> None:
    key = uuid4().hex
    result = task("note").apply_async((1, key), expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=WAIT)
    assert (result.state, trace.of(key)) == ("REVOKED", [])
    assert task("echo").apply_async((1,), expires=60).get(timeout=WAIT) == 1


def test_retry(task: TaskOf, trace: Trace) -> None:
    result = task("flaky").delay(2)
    assert result.get(timeout=WAIT) == 2
    one = ["start", "call"]
    wait_until(lambda: trace.of(result.id)[-1:] == ["after SUCCESS"], "all hooks")
    assert trace.of(result.id) == [*one, "retry", *one, "retry", *one, "success", "after SUCCESS"]


def test_retries_that_are_exhausted(task: TaskOf) -> None:
    with pytest.raises(ConnectionError, match="never"):
        task("exhausted").delay(with_error=True).get(timeout=WAIT)
    with pytest.raises(MaxRetriesExceededError):
        task("exhausted").delay(with_error=False).get(timeout=WAIT)


def test_a_retry_is_the_tasks_state_meanwhile(task: TaskOf) -> None:
    result = task("patient").delay()
    wait_until(lambda: result.state == "RETRY", "it waits for its next attempt")
    assert isinstance(result.result, ConnectionError)
    result.revoke()


def test_autoretry(task: TaskOf) -> None:
    assert task("wobbly").delay(2, "connection").get(timeout=WAIT) == 2
    with pytest.raises(ConnectionError, match="not yet"):
        task("wobbly").delay(3, "connection").get(timeout=WAIT)
    with pytest.raises(ValueError, match="not yet"):
        task("wobbly").delay(1, "value").get(timeout=WAIT)


def test_what_is_rejected_is_a_dead_letter_or_comes_again(
    task: TaskOf, trace: Trace, plain_broker: redis.Redis
) -> None:
    again = task("refuse").delay(uuid4().hex, requeue=True)
    wait_until(lambda: again.state == "SUCCESS", "it was accepted in the end")
    assert trace.of(again.id).count("begin") == 2
    before = plain_broker.xlen(keys.DEAD)
    refused = task("refuse").delay(uuid4().hex, requeue=False)
    with pytest.raises(Reject):
        refused.get(timeout=WAIT)
    wait_until(lambda: plain_broker.xlen(keys.DEAD) == before + 1, "it is a dead letter")
    assert trace.of(refused.id) == ["start", "begin"]


def test_what_is_ignored_keeps_the_state_it_has_set(task: TaskOf) -> None:
    result = task("ignored").delay()
    wait_until(lambda: result.state == "MINE", "its own state")
    assert task("echo").delay(1).get(timeout=WAIT) == 1
    assert (result.state, result.info) == ("MINE", {"step": 1})


def test_an_outcome_that_a_task_stores_itself_is_seen_while_it_runs(task: TaskOf, trace: Trace) -> None:
    gate = uuid4().hex
    result = task("tell_early").delay(gate)
    wait_until(lambda: result.state == "SUCCESS", "the outcome that it has stored")
    assert task("echo").app.AsyncResult(result.id).result == 5
    trace.open(gate)
    wait_until(lambda: task("echo").app.AsyncResult(result.id).result == 4, "the outcome that it has returned")


def test_update_state(task: TaskOf, trace: Trace) -> None:
    gate = uuid4().hex
    result = task("progress").delay(gate)
    wait_until(lambda: result.state == "PROGRESS", "the state of its own")
    assert result.info == {"done": 3}
    trace.open(gate)
    assert result.get(timeout=WAIT) == gate
    assert result.state == "SUCCESS"


@CAN_STOP
def test_soft_time_limit(task: TaskOf) -> None:
    assert task("soft").delay(clean=True).get(timeout=WAIT) == "cleaned"
    with pytest.raises(SoftTimeLimitExceeded):
        task("soft").delay(clean=False).get(timeout=WAIT)


@CAN_STOP
def test_hard_time_limit(task: TaskOf) -> None:
    result = task("hard").delay()
    with pytest.raises(TimeLimitExceeded, match=r"0\.3"):
        result.get(timeout=WAIT)
    assert task("echo").delay(1).get(timeout=WAIT) == 1


@CAN_STOP
def test_what_ran_out_of_time_has_failed_and_is_run_again_if_it_is_not_acknowledged_then(
    task: TaskOf, plain: Celery, trace: Trace
) -> None:
    gate, key = uuid4().hex, uuid4().hex
    result = task("overrun").apply_async((gate,), link_error=task("note").si("timed out", key))
    with pytest.raises(TimeLimitExceeded, match=r"1\.0"):
        result.get(timeout=WAIT)
    wait_until(lambda: trace.of(key), "its errback is called")
    trace.open(gate)
    # Each time a new one, for it keeps the outcome that it has seen.
    wait_until(lambda: plain.AsyncResult(result.id).state == "SUCCESS", "it had time enough in the end")
    assert plain.AsyncResult(result.id).get(timeout=WAIT) == gate


@CAN_STOP
def test_what_runs_out_of_time_again_and_again_is_a_dead_letter_in_the_end(
    task: TaskOf, trace: Trace, plain_broker: redis.Redis
) -> None:
    before = plain_broker.xlen(keys.DEAD)
    result = task("overrun").delay(uuid4().hex)
    wait_until(lambda: plain_broker.xlen(keys.DEAD) == before + 1, "it is given up", within=60)
    [(_, letter)] = plain_broker.xrevrange(keys.DEAD, count=1)
    assert result.id.encode() in letter[b"message"]
    assert letter[b"cause"] == b"TimeLimitExceeded(1.0)"
    assert trace.of(result.id).count("begin") == 5
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=WAIT)
    assert not plain_broker.keys("celeriac:held:*")


@CAN_STOP
def test_time_limits_of_one_call(task: TaskOf) -> None:
    with pytest.raises(TimeLimitExceeded):
        task("hold").apply_async((uuid4().hex,), time_limit=0.2).get(timeout=WAIT)
    with pytest.raises(SoftTimeLimitExceeded):
        task("hold").apply_async((uuid4().hex,), soft_time_limit=0.2).get(timeout=WAIT)


@CANNOT_STOP
def test_a_pool_that_cannot_stop_what_runs_lets_it_end(task: TaskOf, trace: Trace) -> None:
    gate = uuid4().hex
    result = task("hold").apply_async((gate,), soft_time_limit=0.1, time_limit=0.2)
    wait_until(lambda: "begin" in trace.of(result.id), "it runs")
    over = time.monotonic() + 0.4
    wait_until(lambda: time.monotonic() > over, "both limits have passed")
    trace.open(gate)
    assert result.get(timeout=WAIT) == gate


def test_what_is_revoked_before_it_starts_does_not(task: TaskOf, plain: Celery, plain_worker: Worker) -> None:
    task_id = uuid4().hex
    plain.control.revoke(task_id)
    plain_worker.wait_for_log(f"revoked: {task_id}|{task_id}")
    with pytest.raises(TaskRevokedError):
        task("echo").apply_async((1,), task_id=task_id).get(timeout=WAIT)
    delayed = task("echo").apply_async((1,), countdown=0.3)
    delayed.revoke()
    with pytest.raises(TaskRevokedError):
        delayed.get(timeout=WAIT)


@CAN_STOP
def test_what_runs_is_revoked_and_terminated(task: TaskOf, trace: Trace) -> None:
    result = task("hold").delay(uuid4().hex)
    wait_until(lambda: "begin" in trace.of(result.id), "it runs")
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=WAIT)
    assert result.state == "REVOKED"
    assert task("echo").delay(1).get(timeout=WAIT) == 1
    assert "end" not in trace.of(result.id)


def test_what_runs_goes_on_when_it_is_revoked_without_being_terminated(task: TaskOf, trace: Trace) -> None:
    gate = uuid4().hex
    result = task("hold").delay(gate)
    wait_until(lambda: "begin" in trace.of(result.id), "it runs")
    result.revoke()
    trace.open(gate)
    assert result.get(timeout=WAIT) == gate


@pytest.mark.parametrize("how", ["exit", "interrupt", "cancelled"])
@pytest.mark.parametrize("way", ways("asyncio"), indirect=True, scope="session")
def test_a_task_that_would_end_its_worker_fails_in_the_asyncio_pool(task: TaskOf, how: str) -> None:
    """Celery's own pools end with it."""
    result = task("leave").delay(how)
    with pytest.raises(Exception, match="by the task itself"):
        result.get(timeout=WAIT)
    assert result.state == "FAILURE"
    assert task("echo").delay(1).get(timeout=WAIT) == 1


@pytest.mark.parametrize("way", ways("asyncio", "prefork", "threads"), indirect=True, scope="session")
def test_a_task_that_is_acknowledged_before_it_runs(task: TaskOf, trace: Trace, plain_broker: redis.Redis) -> None:
    """The solo pool does what Celery's event loop has to do once the task is over."""
    gate = uuid4().hex
    result = task("early").delay(gate)
    wait_until(lambda: "begin" in trace.of(result.id), "it runs")
    wait_until(lambda: not plain_broker.keys("celeriac:held:*"), "its message is acknowledged")
    trace.open(gate)
    assert result.get(timeout=WAIT) == gate
