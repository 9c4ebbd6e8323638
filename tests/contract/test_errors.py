"""What is told of exceptions, whatever their classes are like: in records, in Celery's results, in logs."""

from __future__ import annotations

import re

import pytest
import redis
from celery import Celery, chord

from celeriac import JobFailed, JobState
from celeriac.core.records import MESSAGE_LIMIT, TRACEBACK_LIMIT
from tests.contract.conftest import TaskOf
from tests.support.contract_jobs import ContractJobs
from tests.support.odd_errors import FORGED, HUGE, TOLD, UNBEARABLE
from tests.support.waiting import eventually, wait_until
from tests.support.workers import Worker

WAIT = 60
KINDS = pytest.mark.parametrize("kind", ["async", "def"])
SPELT_OUT = FORGED.replace("\n", r"\n").replace("\x1b", r"\x1b")


@KINDS
@pytest.mark.parametrize("way", TOLD)
async def test_a_failure_is_told_by_the_name_and_message_of_what_was_raised(
    jobs: ContractJobs, kind: str, way: str
) -> None:
    name, message = TOLD[way]
    handle = await jobs.twin("break_oddly", kind).enqueue(way)
    with pytest.raises(JobFailed, match=re.escape(f"failed: {name}: {message}")):
        await handle.result(timeout=WAIT)
    error = (await handle.status()).error
    assert error is not None
    assert (error.type, error.message) == (name, message)
    assert f"{name}: {message}" in (error.traceback or "")


@pytest.mark.parametrize("way", TOLD)
async def test_a_failure_of_a_task_is_told_by_the_name_and_message_of_what_was_raised(
    jobs: ContractJobs, way: str
) -> None:
    result = jobs.break_oddly_plainly.delay(way)
    record = await jobs.app.client.wait(result.id, timeout=WAIT)
    assert record.error is not None
    assert (record.error.type, record.error.message) == TOLD[way]
    assert type(result.result).__name__ == TOLD[way][0]


@pytest.mark.parametrize("how", TOLD)
def test_a_failure_of_a_plain_task_is_told_by_the_name_and_message_of_what_was_raised(task: TaskOf, how: str) -> None:
    name, message = TOLD[how]
    result = task("break_oddly").delay(how)
    wait_until(result.ready, "it has failed", within=WAIT)
    error = result.result
    assert (result.state, type(error).__name__) == ("FAILURE", name)
    if how not in ("mute", "group"):  # what is stored of these is what was given to their constructors
        assert str(error) == message
    assert f"{name}: {message}" in result.traceback or how == "mute"


@KINDS
async def test_an_exception_that_would_end_whoever_looks_at_it_fails_its_job_alone(
    jobs: ContractJobs, kind: str
) -> None:
    sent = {name: await jobs.twin("break_oddly", kind).enqueue(f"unbearable {name}") for name in UNBEARABLE}
    for name, handle in sent.items():
        record = await jobs.app.client.wait(handle.id, timeout=WAIT)
        assert (name, record.state, record.attempt) == (name, JobState.FAILED, 1)
        assert record.error is not None
        assert "in raise_it" in (record.error.traceback or "") or name in ("members", "note"), record.error
    assert await (await jobs.twin("add", kind).enqueue(1)).result(timeout=WAIT) == 2


@pytest.mark.parametrize("name", UNBEARABLE)
async def test_an_exception_that_would_end_whoever_looks_at_it_fails_its_task_alone(
    jobs: ContractJobs, worker: Worker, name: str
) -> None:
    children = worker.children()
    result = jobs.break_oddly_plainly.delay(f"unbearable {name}")
    record = await jobs.app.client.wait(result.id, timeout=WAIT)
    assert (record.state, record.attempt) == (JobState.FAILED, 1)
    assert worker.children() == children


@pytest.mark.parametrize("how", UNBEARABLE)
def test_an_exception_that_would_end_whoever_looks_at_it_fails_its_plain_task_alone(task: TaskOf, how: str) -> None:
    result = task("break_oddly").delay(f"unbearable {how}")
    wait_until(result.ready, "it has failed", within=WAIT)
    assert result.state == "FAILURE"
    assert task("echo").delay(1).get(timeout=WAIT) == 1


def test_a_result_that_would_end_whoever_encodes_it_fails_its_plain_task_alone(task: TaskOf) -> None:
    result = task("answer_oddly").delay()
    wait_until(result.ready, "it has failed", within=WAIT)
    assert result.state == "FAILURE"
    assert (type(result.result).__name__, str(result.result)) == ("JobAborted", "the job raised SystemExit()")


async def test_a_retry_is_told_by_the_name_of_what_was_raised(jobs: ContractJobs) -> None:
    result = jobs.retry_oddly.delay("several")
    await eventually(lambda: result.state == "RETRY")
    assert (type(result.result).__name__, str(result.result)) == TOLD["several"]
    error = (await jobs.app.client.get(result.id)).error
    assert error is not None
    assert (error.type, error.message) == TOLD["several"]
    await jobs.app.client.cancel(result.id)


def test_a_retry_of_a_plain_task_is_told_by_the_name_of_what_was_raised(task: TaskOf) -> None:
    result = task("retry_oddly").delay("several")
    wait_until(lambda: result.state == "RETRY", "it waits for its next attempt")
    assert (type(result.result).__name__, str(result.result)) == TOLD["several"]
    result.revoke()


@KINDS
async def test_a_message_of_megabytes_is_cut_and_says_so(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("break_oddly", kind).enqueue("huge")
    record = await jobs.app.client.wait(handle.id, timeout=WAIT)
    error = record.error
    assert error is not None
    assert len(error.message) <= MESSAGE_LIMIT
    mark = re.search(r"x … ([\d,]+) characters cut … x", error.message)
    assert mark is not None
    assert int(mark[1].replace(",", "")) + error.message.count("x") == HUGE
    assert len(error.traceback or "") <= TRACEBACK_LIMIT


@KINDS
async def test_celerys_own_result_of_a_failed_job_has_bounds_too(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("break_oddly", kind).enqueue("huge")
    await jobs.app.client.wait(handle.id, timeout=WAIT)
    await eventually(lambda: jobs.app.AsyncResult(handle.id).ready())
    assert_is_cut(jobs.app, handle.id)


def test_the_result_of_a_plain_task_has_bounds(task: TaskOf, plain: Celery) -> None:
    result = task("break_oddly").delay("huge")
    wait_until(result.ready, "it has failed", within=WAIT)
    assert_is_cut(plain, result.id)


def test_a_chord_and_a_chain_copy_no_more_of_a_failure_than_its_result_has(task: TaskOf, plain: Celery) -> None:
    whole = chord([task("break_oddly").s("huge")], task("total").s()).delay()
    wait_until(whole.ready, "it has failed", within=WAIT)
    chained = (task("break_oddly").s("huge") | task("echo").s()).delay()
    wait_until(chained.parent.ready, "it has failed", within=WAIT)
    for result in (whole, whole.parent[0], chained.parent):
        assert_is_cut(plain, result.id)


def assert_is_cut(app: Celery, task_id: str) -> None:
    """Nowhere in what Celery keeps of the task is more than some of a message of megabytes."""
    stored = app.backend.get(app.backend.get_key_for_task(task_id))
    assert len(stored) <= 2 * (MESSAGE_LIMIT + TRACEBACK_LIMIT)
    error = app.AsyncResult(task_id).result
    assert isinstance(error, Exception)
    assert "characters cut" in str(error)


@KINDS
async def test_a_chain_of_thousands_of_exceptions_is_cut_and_says_so(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("break_oddly", kind).enqueue("endless")
    record = await jobs.app.client.wait(handle.id, timeout=WAIT)
    assert record.state is JobState.FAILED
    assert record.error is not None
    shown = record.error.traceback or ""
    assert "ValueError: number 0\n" in shown
    assert shown.endswith("ValueError: number 2999\n")
    assert "… 2,990 more exceptions of the chain …" in shown
    assert len(shown) <= TRACEBACK_LIMIT


@KINDS
async def test_the_message_of_an_exception_forges_no_line_of_the_log(
    jobs: ContractJobs, worker: Worker, kind: str
) -> None:
    handle = await jobs.twin("break_oddly", kind).enqueue("forged")
    await jobs.app.client.wait(handle.id, timeout=WAIT)
    told = await eventually(lambda: _told_of(worker, handle.id, "raised unexpected"))
    assert SPELT_OUT in told
    log = worker.log
    assert "\n[2026-11-28 09:00:00,000" not in log
    assert r"    [2026-11-28 09:00:00,000: INFO/MainProcess] forged \x1b[31m" in log


def test_results_and_arguments_forge_no_line_of_the_log(task: TaskOf, plain_worker: Worker) -> None:
    result = task("echo").delay(FORGED)
    assert result.get(timeout=WAIT) == FORGED
    told = wait_until(lambda: _told_of(plain_worker, result.id, "succeeded"), "it is logged")
    assert SPELT_OUT in told
    assert "\n[2026-11-28 09:00:00,000" not in plain_worker.log


def test_names_and_ids_forge_no_line_of_the_log(task: TaskOf, plain_worker: Worker, plain_broker: redis.Redis) -> None:
    result = task("echo").apply_async((1,), shadow=FORGED)
    assert result.get(timeout=WAIT) == 1
    told = wait_until(lambda: _told_of(plain_worker, result.id, "succeeded"), "it is logged")
    assert SPELT_OUT in told
    assert "\n[2026-11-28 09:00:00,000" not in plain_worker.log


@KINDS
async def test_the_log_shows_the_frames_of_the_job_and_folds_those_of_the_machinery(
    jobs: ContractJobs, worker: Worker, kind: str
) -> None:
    handle = await jobs.twin("fail", kind).enqueue("folded")
    await jobs.app.client.wait(handle.id, timeout=WAIT)
    await eventually(lambda: _told_of(worker, handle.id, "raised unexpected"))
    shown = worker.log[worker.log.rindex(f"{handle.id}] raised") :]
    frames = shown[: shown.index("OrderRejected: folded\n")]
    assert re.search(r"  … \d+ frames? of Celeriac and Celery …\n", frames)
    assert re.findall(r'File "([^"]+)"', frames) == [contract_file()]


def contract_file() -> str:
    from tests.support import contract_jobs

    return contract_jobs.__file__


def _told_of(worker: Worker, job_id: str, what: str) -> str | None:
    return next((line for line in worker.log.splitlines() if f"{job_id}] {what}" in line), None)
