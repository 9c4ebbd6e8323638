"""Whatever leaves a task's function ends its job, with a record, at once, and the worker goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest
import redis

from celeriac import JobFailed, JobState, WrongState
from celeriac.store import keys
from tests.contract.conftest import TaskOf, Way, ways
from tests.support.contract_jobs import ContractJobs, Trace
from tests.support.leaving import ENDS_THE_PROCESS, LEAVING
from tests.support.waiting import eventually, wait_until

KINDS = pytest.mark.parametrize("kind", ["async", "def"])
#: Of all of them together, on a machine that has other things to do; one takes some milliseconds.
WITHIN = 60.0
#: Seconds from the beginning of a job to its recorded end.
AT_ONCE = 1.0


def _names(*, all_of_them: bool) -> list[str]:
    return [name for name in LEAVING if all_of_them or name not in ENDS_THE_PROCESS]


async def _ended(jobs: ContractJobs, ids: Iterable[str]) -> dict[str, JobState]:
    """The states of jobs once all have ended."""
    found: dict[str, JobState] = {}

    async def look() -> bool:
        for job_id in ids:
            found[job_id] = (await jobs.app.client.get(job_id)).state
        return all(state.finished for state in found.values())

    await eventually(look, f"all have ended: {found}", within=WITHIN)
    return found


@KINDS
async def test_whatever_leaves_a_typed_job_is_recorded(jobs: ContractJobs, kind: str) -> None:
    handles = {name: await jobs.twin("raising", kind).enqueue(name) for name in LEAVING}
    assert set((await _ended(jobs, [handle.id for handle in handles.values()])).values()) == {JobState.FAILED}
    for name, handle in handles.items():
        error = (await handle.status()).error
        assert error is not None
        if issubclass(type(LEAVING[name]()), Exception) and not name.startswith("Stop"):
            assert error.type == name
        else:
            assert name in error.message
    assert await (await jobs.twin("add", kind).enqueue(1)).result(timeout=60) == 2


@pytest.mark.parametrize("name", ["BaseExceptionGroup", "GeneratorExit", "MemoryError", "Abandoned"])
@KINDS
async def test_a_job_that_has_failed_that_way_can_not_be_cancelled_any_more(
    jobs: ContractJobs, kind: str, name: str
) -> None:
    handle = await jobs.twin("raising", kind).enqueue(name)
    with pytest.raises(JobFailed):
        await handle.result(timeout=60)
    record = await handle.status()
    assert record.started_at and record.finished_at
    assert (record.finished_at - record.started_at).total_seconds() < AT_ONCE
    with pytest.raises(WrongState, match="has failed already"):
        await handle.cancel()


@KINDS
async def test_whatever_leaves_a_task_of_the_class_is_recorded(jobs: ContractJobs, kind: str, pool: str) -> None:
    if kind == "async" and pool != "asyncio":
        return  # only the asyncio pool awaits the coroutines of plain tasks
    task = jobs.raising_plainly if kind == "async" else jobs.raising_plainly_sync
    names = _names(all_of_them=pool != "prefork")
    sent = {name: await asyncio.to_thread(task.delay, name) for name in names}
    assert set((await _ended(jobs, [result.id for result in sent.values()])).values()) == {JobState.FAILED}
    assert {result.state for result in sent.values()} == {"FAILURE"}


CONSEQUENCES = pytest.mark.parametrize(
    ("raised", "shown"), [("error", "ValueError < LookupError"), ("abandoned", "JobAborted < Abandoned < LookupError")]
)


@CONSEQUENCES
@KINDS
async def test_the_cause_of_what_leaves_a_typed_job_is_in_its_record(
    jobs: ContractJobs, kind: str, raised: str, shown: str
) -> None:
    handle = await jobs.twin("consequent", kind).enqueue(raised)
    with pytest.raises(JobFailed):
        await handle.result(timeout=60)
    error = (await handle.status()).error
    assert error is not None
    assert error.type == shown.split(" < ")[0]
    _assert_shown(error.traceback, shown)


@CONSEQUENCES
def test_the_cause_of_what_leaves_a_plain_task_is_known_to_its_hooks_and_in_its_traceback(
    task: TaskOf, trace: Trace, raised: str, shown: str
) -> None:
    result = task("consequent").delay(raised)
    wait_until(result.ready, "it has ended", within=60)
    wait_until(lambda: shown in trace.of(result.id), f"{shown} in {trace.of(result.id)}")
    _assert_shown(result.traceback, shown)


def _assert_shown(traceback: str | None, chain: str) -> None:
    """Each of the exceptions, the first cause first."""
    places = [(traceback or "").find(f"{name}: ") for name in reversed(chain.split(" < "))]
    assert -1 not in places, traceback
    assert places == sorted(places), traceback


HOOKS = ["before_start", "on_success", "on_failure", "after_return"]
HANDLERS = ["task_prerun", "task_success", "task_failure", "task_postrun"]


@pytest.mark.parametrize("where", [*HOOKS, *HANDLERS])
def test_a_hook_or_handler_that_raises_what_is_no_exception_harms_its_own_task_alone(
    task: TaskOf, plain_broker: redis.Redis, where: str
) -> None:
    result = task("ambushed").delay(where)
    wait_until(result.ready, "it has ended", within=60)
    if where in ("before_start", "task_prerun", "on_failure", "task_failure"):
        assert result.state == "FAILURE"
    elif where in HOOKS:  # what it has returned is known by then
        assert result.state == "SUCCESS"
    wait_until(lambda: not plain_broker.keys(keys.held("*")), "nothing is held")
    assert task("echo").delay(1).get(timeout=60) == 1


@pytest.mark.parametrize("then", ["wait", "return", "fail"])
async def test_a_typed_job_that_cancels_its_own_task_ends(jobs: ContractJobs, then: str) -> None:
    handle = await jobs.cancel_itself.enqueue(then)
    if then == "return":
        assert await handle.result(timeout=60) == then
    else:
        with pytest.raises(JobFailed, match="CancelledError" if then == "wait" else "after it was cancelled"):
            await handle.result(timeout=60)
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2


def _all_ended(results: dict[str, Any]) -> set[str]:
    wait_until(lambda: all(result.ready() for result in results.values()), "all have ended", within=WITHIN)
    return {result.state for result in results.values()}


def test_whatever_leaves_a_plain_task_is_recorded(task: TaskOf, way: Way, plain_broker: redis.Redis) -> None:
    """Where tasks run in processes of their own, what ends a process has Celery's meaning."""
    names = _names(all_of_them=way[0] != "prefork")
    assert _all_ended({name: task("raising").delay(name) for name in names}) == {"FAILURE"}
    wait_until(lambda: not plain_broker.keys(keys.held("*")), "nothing is held")
    assert task("echo").delay(1).get(timeout=60) == 1


def test_whatever_leaves_a_task_that_celerys_own_way_takes_is_recorded(task: TaskOf, way: Way) -> None:
    """One that expires does not go the short way of the asyncio worker."""
    names = _names(all_of_them=way[0] != "prefork")
    sent = {name: task("raising").apply_async((name,), expires=60) for name in names}
    assert _all_ended(sent) == {"FAILURE"}
    assert task("echo").delay(1).get(timeout=60) == 1


@pytest.mark.parametrize("name", ENDS_THE_PROCESS)
@pytest.mark.parametrize("way", ways("prefork"), indirect=True, scope="session")
def test_what_ends_a_process_of_the_pool_counts_as_a_lost_worker(
    task: TaskOf, plain_broker: redis.Redis, name: str
) -> None:
    """It is run again, as in Celery, and given up after five times, unlike there."""
    before = plain_broker.xlen(keys.DEAD)
    result = task("raising").delay(name)
    wait_until(result.ready, "it is given up", within=60)
    assert (result.state, type(result.result).__name__) == ("FAILURE", "WorkerLostError")
    wait_until(lambda: plain_broker.xlen(keys.DEAD) == before + 1, "it is a dead letter", within=60)


@pytest.mark.parametrize("way", ways("asyncio"), indirect=True, scope="session")
def test_a_plain_task_that_cancels_itself_ends(task: TaskOf, way: Way) -> None:
    if way[1] == "def":
        return  # it has no task of asyncio's
    started = time.monotonic()
    assert task("cancel_itself").delay(wait=False).get(timeout=60) == "returned"
    waiting = task("cancel_itself").delay(wait=True)
    with pytest.raises(Exception, match="CancelledError"):
        waiting.get(timeout=60)
    assert waiting.state == "FAILURE"
    assert time.monotonic() - started < 10
