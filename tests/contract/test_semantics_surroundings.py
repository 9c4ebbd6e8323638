"""What Celery promises a task to find around it, and to tell others of it, on a plain application, in every pool."""

from __future__ import annotations

import re
import socket
from uuid import uuid4

import pytest
from celery import Celery, group
from celery.exceptions import TaskRevokedError

from tests.contract.conftest import CONCURRENCY, TaskOf, Way, ways
from tests.support.contract_jobs import Trace
from tests.support.waiting import wait_until
from tests.support.workers import Worker

WAIT = 60
MANY = 50


def test_each_of_many_tasks_at_a_time_finds_itself(task: TaskOf, way: Way) -> None:
    name = f"{way[1]}.surroundings"
    seconds = 0.1 if CONCURRENCY[way[0]] > MANY and way[1] == "async" else 0.01
    results = group(task("surroundings").s(seconds) for _ in range(MANY))()
    for result, seen in zip(results.results, results.get(timeout=WAIT), strict=True):
        mine = result.id
        assert seen[1:] == [mine, mine, name, mine, mine, mine]


def test_context_variables_end_with_the_run(task: TaskOf) -> None:
    results = group(task("surroundings").s(0.01) for _ in range(MANY))()
    assert [seen[0] for seen in results.get(timeout=WAIT)] == ["none"] * MANY


@pytest.mark.parametrize("way", ways("asyncio", "solo", "prefork"), indirect=True, scope="session")
def test_context_variables_that_a_process_is_set_up_with_are_there_in_each_run(task: TaskOf) -> None:
    """In Celery's threads they never are: the thread that sets them runs no task."""
    results = group(task("inherited").s() for _ in range(10))()
    assert results.get(timeout=WAIT) == ["set up"] * 10


@pytest.mark.parametrize("fails", [False, True])
def test_signals_and_hooks_run_where_the_task_does(task: TaskOf, way: Way, trace: Trace, fails: bool) -> None:
    """In the thread of a `def` task, where they may block, and await nothing; on the event loop of an `async` one."""
    result = task("placed").delay(fails)
    name = f"place-{result.id}"
    wait_until(lambda: any(line.startswith("task_postrun") for line in trace.of(name)), "the last signal")
    told = [line.split("|") for line in trace.of(name)]
    end = ["on_failure", "task_failure"] if fails else ["on_success", "task_success"]
    assert [what for what, _, _ in told] == [
        "task_prerun",
        "before_start",
        "body",
        *end,
        "after_return",
        "task_postrun",
    ]
    assert len({thread for _, thread, _ in told}) == 1
    assert {place for _, _, place in told} == {"on a loop" if way[1] == "async" else "alone"}


@pytest.mark.parametrize(
    ("name", "blocking"),
    [
        ("held_up", r"plain_twins\.BlockingTask\.before_start"),
        ("held_up_by_signal", r"task_prerun handler \S+hold_up.*"),
    ],
)
@pytest.mark.parametrize("way", ways("asyncio"), indirect=True, scope="session")
def test_a_hook_or_handler_that_blocks_the_event_loop_is_named(
    task: TaskOf, way: Way, plain_worker: Worker, name: str, blocking: str
) -> None:
    before = len(plain_worker.log)
    task(name).delay().get(timeout=WAIT)
    if way[1] == "async":
        line = rf"{blocking} blocked the event loop for \d+\.\d s"
        wait_until(lambda: re.search(line, plain_worker.log[before:]), "it is named")
    else:  # it blocks a thread of its own
        assert "blocked the event loop" not in plain_worker.log[before:]


def test_the_request(task: TaskOf, way: Way) -> None:
    options = {"headers": {"tenant": "acme"}, "priority": 3, "task_id": f"mine-{uuid4().hex}"}
    seen = task("request").apply_async((1,), {"b": [2]}, **options).get(timeout=WAIT)
    assert (seen["id"], seen["args"], seen["kwargs"]) == (options["task_id"], [1], {"b": [2]})
    assert (seen["retries"], seen["root_id"], seen["parent_id"]) == (0, options["task_id"], None)
    assert seen["headers"] == {"tenant": "acme"}
    assert (seen["queue"], seen["priority"], seen["redelivered"]) == ("celery", 3, False)
    assert seen["hostname"] == f"plain-{way[0]}@{socket.gethostname()}"


def test_the_request_of_a_part_knows_where_it_belongs(task: TaskOf) -> None:
    result = (task("echo").s(1) | task("request").si())()
    seen = result.get(timeout=WAIT)
    assert (seen["root_id"], seen["parent_id"]) == (result.parent.id, result.parent.id)
    together = group(task("request").s() for _ in range(2))()
    assert [seen["group"] for seen in together.get(timeout=WAIT)] == [together.id] * 2


def test_stamps(task: TaskOf) -> None:
    part = task("request").s()
    part.stamp(tenant="acme")
    assert part.apply_async().get(timeout=WAIT)["stamps"] == {"tenant": "acme"}


def told_of(trace: Trace, task_id: str, last: str) -> list[str]:
    """What signals told of a task, once the last one has come."""
    name = f"signals-{task_id}"
    wait_until(lambda: any(line.startswith(last) for line in trace.of(name)), last)
    return trace.of(name)


def test_the_signals_and_hooks_of_a_success(task: TaskOf, trace: Trace) -> None:
    result = task("watched").delay("success")
    assert result.get(timeout=WAIT) == "success"
    assert told_of(trace, result.id, "task_postrun") == [
        "task_received",
        "task_prerun args=['success'] kwargs={}",
        "task_success result='success'",
        "task_postrun args=['success'] retval='success' state='SUCCESS'",
    ]
    assert trace.of(result.id) == ["start", "call", "body", "success", "after SUCCESS"]


def test_the_signals_and_hooks_of_a_failure(task: TaskOf, trace: Trace) -> None:
    result = task("watched").delay("failure")
    with pytest.raises(ValueError, match="failure"):
        result.get(timeout=WAIT)
    assert told_of(trace, result.id, "task_postrun") == [
        "task_received",
        "task_prerun args=['failure'] kwargs={}",
        "task_failure exception=ValueError('failure') args=['failure']",
        "task_postrun args=['failure'] retval=ValueError('failure') state='FAILURE'",
    ]
    assert trace.of(result.id) == ["start", "call", "body", "failure ValueError", "after FAILURE"]


def test_the_signals_and_hooks_of_a_retry(task: TaskOf, trace: Trace) -> None:
    result = task("watched").delay("retry")
    assert result.get(timeout=WAIT) == "retry"
    told = told_of(trace, result.id, "task_success")
    assert [line.split()[0] for line in told[:6]] == [
        "task_received",
        "task_prerun",
        "task_retry",
        "task_postrun",
        "task_received",
        "task_prerun",
    ]
    assert told[2].startswith("task_retry reason=Retry(")
    assert told[3].endswith("state='RETRY'")
    once = ["start", "call", "body"]
    wait_until(lambda: "after SUCCESS" in trace.of(result.id), "the last hook")
    assert trace.of(result.id) == [*once, "retry", *once, "success", "after SUCCESS"]


def test_the_signals_and_hooks_of_what_is_ignored(task: TaskOf, trace: Trace) -> None:
    result = task("watched").delay("ignore")
    told = told_of(trace, result.id, "task_postrun")
    assert [line.split()[0] for line in told] == ["task_received", "task_prerun", "task_postrun"]
    assert told[2].endswith("state='IGNORED'")
    assert trace.of(result.id) == ["start", "call", "body"]


def test_the_signal_of_what_is_revoked(task: TaskOf, trace: Trace, plain: Celery) -> None:
    job_id = str(uuid4())
    plain.control.revoke(job_id, reply=True, limit=1, timeout=WAIT)  # the worker knows before the job arrives
    result = task("watched").apply_async(("success",), task_id=job_id)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT)
    told = told_of(trace, result.id, "task_revoked")
    assert told == ["task_revoked terminated=False expired=False"]
    assert trace.of(result.id) == []
