"""Isolated jobs: a process of their own for what computes, and for what has to be killed to be stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from celery import chain, group
from pydantic import SecretStr

from celeriac import JobCancelled, JobFailed, JobState, Settings
from celeriac.core.cores import available_cores
from tests.contract.conftest import marks
from tests.support import isolated_jobs
from tests.support.broker import fragile_broker
from tests.support.contract_jobs import Invoice, Line
from tests.support.fixtures import LEASE, WORKERS, on_database, worker_environment
from tests.support.isolated_jobs import IsolatedJobs
from tests.support.leaving import LEAVING
from tests.support.processes import is_alive
from tests.support.values import EXACT, spelt
from tests.support.waiting import eventually
from tests.support.workers import POOLS, Worker, start_worker

#: The pools that run several jobs at a time.
BUT_SOLO = pytest.mark.parametrize(
    "pool",
    [pytest.param(pool, marks=marks(pool)) for pool in POOLS if pool != "solo"],
    indirect=True,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_broker_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """Of a server of its own: the shared one has no databases left."""
    async with fragile_broker(tmp_path_factory.mktemp("broker")) as own:
        yield own.url


@pytest.fixture(scope="module")
def isolated_url(pool: str, own_broker_url: str) -> str:
    return on_database(own_broker_url, POOLS.index(pool))


@pytest.fixture(scope="module")
def isolating_worker(pool: str, isolated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    directory = tmp_path_factory.mktemp(f"isolated-{pool}")
    environment = worker_environment("tests.support.isolated_jobs", isolated_url, directory)
    worker = start_worker(
        "tests.support.celery_main", environment, directory / "log", pool=pool, concurrency=4, name=f"isolated-{pool}"
    )
    yield worker
    assert worker.stop() == 0, worker.log


@pytest.fixture
def worker(isolating_worker: Worker, request: pytest.FixtureRequest) -> Worker:
    request.node.stash[WORKERS] = [(isolating_worker, len(isolating_worker.log))]
    return isolating_worker


@pytest.fixture(scope="module")
def enqueuer(isolated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedJobs]:
    settings = Settings(broker_url=SecretStr(isolated_url), data_dir=tmp_path_factory.getbasetemp(), lease=LEASE)
    made = isolated_jobs.create(settings)
    yield made
    made.app.close()


@pytest_asyncio.fixture
async def jobs(worker: Worker, enqueuer: IsolatedJobs) -> AsyncGenerator[IsolatedJobs]:
    yield enqueuer
    await enqueuer.app.client.aclose()


async def _pid_of(jobs: IsolatedJobs, job_id: str) -> int:
    """The process id that the job has left."""
    return int((await eventually(lambda: jobs.trace.of(job_id), "the job runs"))[0])


@pytest.mark.parametrize("name", ["double", "double_async"])
async def test_arguments_and_results_keep_their_types(jobs: IsolatedJobs, name: str) -> None:
    invoice = Invoice(lines=[Line(article="hinge", count=3)], due=datetime(2026, 11, 22, 9, tzinfo=UTC))
    handle = await getattr(jobs, name).enqueue(invoice)
    assert await handle.result(timeout=60) == invoice.model_copy(update={"lines": invoice.lines * 2})


async def test_it_runs_in_a_process_of_the_worker_that_is_used_again(
    jobs: IsolatedJobs, worker: Worker, pool: str
) -> None:
    ran = [await (await jobs.pid.enqueue()).result(timeout=60) for _ in range(6)]
    processes, parents = {pid for pid, _, _ in ran}, {parent for _, parent, _ in ran}
    assert worker.pid not in processes
    assert parents <= ({worker.pid} if pool != "prefork" else set(worker.children()))
    assert len(processes) == len(parents)


async def test_what_it_prints_is_in_the_workers_log(jobs: IsolatedJobs, worker: Worker) -> None:
    handle = await jobs.pid.enqueue()
    await handle.result(timeout=60)
    await eventually(lambda: f"printed by {handle.id}" in worker.log, "what the job has printed")


async def test_a_failure_is_recorded_with_type_message_and_traceback(jobs: IsolatedJobs) -> None:
    handle = await jobs.fail.enqueue("no hinges left")
    with pytest.raises(JobFailed, match="OrderRejected: no hinges left"):
        await handle.result(timeout=60)
    error = (await handle.status()).error
    assert error is not None
    assert (error.type, error.message) == ("OrderRejected", "no hinges left")
    lines = (error.traceback or "").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert re.fullmatch(r"  … \d+ frames? of Celeriac and Celery …", lines[1])
    assert "isolated_jobs.py" in lines[2]
    assert "raise OrderRejected(message)" in lines[3]
    assert lines[-1].endswith("OrderRejected: no hinges left")


async def test_a_line_logged_in_an_isolated_job_names_it(jobs: IsolatedJobs, worker: Worker) -> None:
    handle = await jobs.speak.enqueue(value="apart")
    await eventually(lambda: f"] speak[{handle.id}]: said apart\n" in worker.log, "the line")


async def test_celery_sees_the_error_that_was_raised(jobs: IsolatedJobs, worker: Worker) -> None:
    result = jobs.fail.task.delay(message="no hinges left")
    await jobs.app.client.wait(result.id, timeout=60)
    seen = jobs.app.AsyncResult(result.id)
    assert (seen.state, type(seen.result).__name__, str(seen.result)) == ("FAILURE", "OrderRejected", "no hinges left")
    await eventually(lambda: f"{result.id}] raised" in worker.log)
    for shown in (seen.traceback, worker.log[worker.log.rindex(f"{result.id}] raised") :]):
        assert "isolated_jobs.py" in shown
        assert "raise OrderRejected(message)" in shown


async def test_a_result_of_the_wrong_type_is_not_retried(jobs: IsolatedJobs) -> None:
    handle = await jobs.promise.enqueue("seven")
    with pytest.raises(JobFailed, match=r"InvalidResult: .*Input should be a valid integer"):
        await handle.result(timeout=60)
    assert (await handle.status()).attempt == 1


async def test_it_has_its_place_in_celerys_canvas(jobs: IsolatedJobs) -> None:
    result = chain(jobs.triple.task.s(number=1), group(jobs.triple.task.s() for _ in range(5)))()
    await eventually(result.ready, "all have ended")
    assert result.get() == [9] * 5


async def test_it_may_end_the_interpreter(jobs: IsolatedJobs) -> None:
    handle = await jobs.leave.enqueue()
    with pytest.raises(JobFailed, match=r"JobAborted: the job raised SystemExit\('by the job itself'\)"):
        await handle.result(timeout=60)


@pytest.mark.parametrize("name", ["raising", "raising_sync"])
async def test_whatever_leaves_it_is_recorded(jobs: IsolatedJobs, name: str) -> None:
    handles = await getattr(jobs, name).enqueue_many([{"name": left} for left in LEAVING])
    for left, handle in zip(LEAVING, handles, strict=True):
        with pytest.raises(JobFailed):
            await handle.result(timeout=60)
        error = (await handle.status()).error
        assert error is not None
        assert left in (error.type, *re.findall(r"\w+", error.message))


@pytest.mark.parametrize("name", ["step", "step_sync"])
async def test_context_variables_end_with_the_run(jobs: IsolatedJobs, name: str) -> None:
    seen = [await (await getattr(jobs, name).enqueue()).result(timeout=60) for _ in range(4)]
    left, processes = zip(*(each.rsplit(" ", 1) for each in seen), strict=True)
    assert set(left) == {"none"}
    assert len(set(processes)) < 4, "no process was used again"


async def test_its_retry_policy_is_asked_where_the_error_is(jobs: IsolatedJobs) -> None:
    handle = await jobs.flaky.enqueue(failures=2)
    assert await handle.result(timeout=60) == 3


async def test_a_time_limit_kills_what_nothing_else_could_stop(jobs: IsolatedJobs) -> None:
    handle = await jobs.stuck_limited.enqueue()
    with pytest.raises(JobFailed, match=r"JobTimedOut: exceeded its time limit of 0\.5 s"):
        await handle.result(timeout=60)
    pid = await _pid_of(jobs, handle.id)
    await eventually(lambda: not is_alive(pid), "its process has ended")
    record = await handle.status()
    assert record.started_at is not None
    assert record.finished_at is not None


async def test_cancelling_kills_what_nothing_else_could_stop(jobs: IsolatedJobs) -> None:
    handle = await jobs.stuck.enqueue()
    pid = await _pid_of(jobs, handle.id)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    await eventually(lambda: not is_alive(pid), "its process has ended")


async def test_what_a_killed_job_has_started_is_killed_too(jobs: IsolatedJobs) -> None:
    handle = await jobs.with_helper.enqueue()
    helper = await _pid_of(jobs, handle.id)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    await eventually(lambda: not is_alive(helper), "the process that the job has started has ended")


async def test_a_process_that_ends_itself_is_one_jobs_failure(jobs: IsolatedJobs, worker: Worker) -> None:
    handle = await jobs.vanish.enqueue()
    with pytest.raises(JobFailed, match="JobCrashed: its process exited by itself, with exit code 3"):
        await handle.result(timeout=60)
    assert worker.process.poll() is None
    assert (await handle.status()).attempt == 1


async def test_a_process_that_is_killed_is_one_jobs_failure(jobs: IsolatedJobs) -> None:
    handle = await jobs.compute.enqueue("never")
    os.kill(await _pid_of(jobs, handle.id), signal.SIGKILL)
    with pytest.raises(JobFailed, match=r"JobCrashed: its process was killed by signal 9 \(Killed\)"):
        await handle.result(timeout=60)
    assert (await (await jobs.pid.enqueue()).result(timeout=60))[2] == 1


async def test_a_process_that_is_killed_while_one_that_it_has_forked_lives_is_one_jobs_failure(
    jobs: IsolatedJobs,
) -> None:
    handle = await jobs.orphan.enqueue()
    with pytest.raises(JobFailed, match=r"JobCrashed: its process was killed by signal 9 \(Killed\)"):
        await handle.result(timeout=60)
    forked = await _pid_of(jobs, handle.id)
    await eventually(lambda: not is_alive(forked), "the process that the job has forked has ended")
    assert (await (await jobs.pid.enqueue()).result(timeout=60))[2] == 1


async def test_a_crash_is_retried_as_other_failures_are(jobs: IsolatedJobs) -> None:
    handle = await jobs.vanish_retried.enqueue(attempts=2)
    assert await handle.result(timeout=60) == 3


async def test_an_idle_process_that_was_killed_is_replaced(jobs: IsolatedJobs) -> None:
    pid, _, _ = await (await jobs.pid.enqueue()).result(timeout=60)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{pid}").exists(), "the worker has noticed")
    assert (await (await jobs.pid.enqueue()).result(timeout=60))[0] != pid


@BUT_SOLO
async def test_the_others_of_its_worker_are_not_held_up(jobs: IsolatedJobs) -> None:
    handle = await jobs.stuck.enqueue()
    await _pid_of(jobs, handle.id)
    ticks = [await (await jobs.tick.enqueue()).result(timeout=60) for _ in range(20)]
    assert max(after - before for before, after in pairwise(ticks)) < 1
    assert (await handle.status()).state is JobState.RUNNING
    await handle.cancel()


@BUT_SOLO
@pytest.mark.skipif(available_cores() < 2, reason="a worker has one process for each core")
async def test_two_run_at_a_time(jobs: IsolatedJobs) -> None:
    place = str(uuid4())
    handles = [await jobs.meet.enqueue(place, people=2) for _ in range(2)]
    assert len({await handle.result(timeout=60) for handle in handles}) == 2


async def test_more_than_there_are_processes_for_all_get_their_turn(jobs: IsolatedJobs) -> None:
    handles = await jobs.pid.enqueue_many([{}] * 30)
    assert all([await handle.result(timeout=60) for handle in handles])


async def test_progress_arrives_while_it_runs(jobs: IsolatedJobs) -> None:
    gate = str(uuid4())
    handle = await jobs.count.enqueue(1000, gate)

    async def last() -> bool:
        progress = (await handle.status()).progress
        return progress is not None and (progress.done, progress.total, progress.message) == (1000, 1000, "step 1000")

    await eventually(last, "the newest progress")
    jobs.trace.open(gate)
    await handle.result(timeout=60)


async def test_it_fans_out(jobs: IsolatedJobs) -> None:
    handle = await jobs.parent.enqueue(5)
    assert await handle.result(timeout=60) == (4, 1)


async def test_called_without_a_worker_it_is_an_ordinary_function(jobs: IsolatedJobs) -> None:
    assert jobs.pid.task.apply().get()[0] == os.getpid()


async def test_values_that_fast_readers_change_come_back_as_they_went(jobs: IsolatedJobs) -> None:
    handle = await jobs.remember.enqueue(EXACT)  # all in one: each job waits for a process
    assert spelt(await handle.result(timeout=60)) == spelt(EXACT)
    scolded = await jobs.scold.enqueue(2**70)
    with pytest.raises(JobFailed, match=f"OrderRejected: {2**70}"):
        await scolded.result(timeout=60)
    error = await asyncio.to_thread(jobs.app.AsyncResult(scolded.id).get, timeout=20, propagate=False)
    assert error.args == (2**70,)
