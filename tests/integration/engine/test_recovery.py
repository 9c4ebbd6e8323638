"""Workers and pool processes that are killed: their jobs run again, once, and nothing finishes them unseen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from uuid import uuid4

import pytest
import redis

from celeriac import JobState
from celeriac.engine.aio.pool import THREADS
from celeriac.store import keys
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import LEASE, StartWorker
from tests.support.processes import is_alive
from tests.support.waiting import eventually
from tests.support.workers import POOLS, READY, Worker

pytestmark = pytest.mark.usefixtures("no_key_leaks")
KINDS = pytest.mark.parametrize("kind", ["async", "def"])

#: Starts a worker of each pool with one slot, each on the queue of the pool's name.
StartEachPool = Callable[[], list[Worker]]


@pytest.fixture
def start_each_pool(start: StartWorker, module: str) -> StartEachPool:
    def start_them() -> list[Worker]:
        workers = [start(module, pool=pool, concurrency=1, options=[f"--queues={pool}"], until=None) for pool in POOLS]
        for worker in workers:
            worker.wait_for_log(READY)
        return workers

    return start_them


async def starts(jobs: ContractJobs, job_id: str, times: int) -> None:
    await eventually(lambda: jobs.trace.of(job_id).count("start") >= times, f"start number {times}")


@KINDS
async def test_a_killed_pool_processs_job_runs_again_at_once(
    jobs: ContractJobs, start: StartWorker, module: str, kind: str
) -> None:
    worker = start(module, pool="prefork", concurrency=1, settings={"lease": 600})  # which does not run out meanwhile
    gate = uuid4().hex
    handle = await jobs.twin("hold", kind).enqueue(gate)
    await starts(jobs, handle.id, 1)
    before = worker.children()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await starts(jobs, handle.id, 2)
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate
    assert jobs.trace.of(handle.id) == ["start", "start", "end"]


@KINDS
async def test_a_killed_workers_jobs_run_again_elsewhere(
    jobs: ContractJobs, start_each_pool: StartEachPool, kind: str
) -> None:
    first = start_each_pool()
    gate = uuid4().hex
    handles = {
        pool: await jobs.twin("hold", kind).options(queue=pool).enqueue_many([{"gate": gate}] * 3) for pool in POOLS
    }
    for pool in POOLS:
        await starts(jobs, handles[pool][0].id, 1)
    children = [pid for worker in first for pid in worker.children()]
    for worker in first:
        worker.kill()
    await eventually(lambda: not any(map(is_alive, children)), "their pools' processes are gone")
    start_each_pool()
    jobs.trace.open(gate)
    for handle in chain.from_iterable(handles.values()):
        assert await handle.result(timeout=60) == gate
        assert jobs.trace.of(handle.id).count("end") == 1  # what was killed did not end it as well


async def test_a_worker_on_the_same_machine_takes_over_before_the_lease_runs_out(
    jobs: ContractJobs, start: StartWorker, module: str
) -> None:
    workers = [start(module, pool="solo", settings={"lease": 600}) for _ in range(2)]
    gate = uuid4().hex
    handle = await jobs.hold.enqueue(gate)
    await starts(jobs, handle.id, 1)
    holder = (await handle.status()).worker or ""
    next(worker for worker in workers if holder.startswith(worker.name)).kill()
    await starts(jobs, handle.id, 2)
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate


@pytest.mark.slow
@KINDS
async def test_a_job_longer_than_several_leases_runs_once(
    jobs: ContractJobs, start_each_pool: StartEachPool, kind: str
) -> None:
    workers = [*start_each_pool(), *start_each_pool()]  # two of each: another could take a job over
    gate = uuid4().hex
    handles = [await jobs.twin("hold", kind).options(queue=pool).enqueue(gate) for pool in POOLS]
    for handle in handles:
        await starts(jobs, handle.id, 1)
    long_enough = time.monotonic() + 3 * LEASE + 0.5
    await eventually(lambda: time.monotonic() > long_enough)
    jobs.trace.open(gate)
    for handle in handles:
        assert await handle.result(timeout=60) == gate
        assert jobs.trace.of(handle.id) == ["start", "end"]
    assert not any("run out" in worker.log or "brought back" in worker.log for worker in workers)


async def test_a_frozen_workers_late_report_is_refused(jobs: ContractJobs, start: StartWorker, module: str) -> None:
    gate = uuid4().hex
    first = start(module, pool="threads", concurrency=1)
    handle = await jobs.hold.enqueue(gate)
    await starts(jobs, handle.id, 1)
    first.signal(signal.SIGSTOP)
    second = start(module, pool="threads", concurrency=1)
    await starts(jobs, handle.id, 2)  # its lease has run out
    first.signal(signal.SIGCONT)
    # It notices that its run does not count any more, and stops it.
    await eventually(lambda: "cancelled" in jobs.trace.of(handle.id), "the superseded run is stopped")
    assert (await handle.status()).state is JobState.RUNNING
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate
    assert (await handle.status()).worker == f"{second.name}@{os.uname().nodename}"
    assert jobs.trace.of(handle.id) == ["start", "start", "cancelled", "end"]
    first.wait_for_log("had run out")


async def test_a_job_that_ends_its_worker_again_and_again_is_given_up(
    jobs: ContractJobs, start: StartWorker, module: str
) -> None:
    start(module, pool="prefork", concurrency=1)
    gate = uuid4().hex
    jobs.trace.open(gate)
    handle = await jobs.crash.enqueue(gate)
    record = await jobs.app.client.wait(handle.id, timeout=60)
    assert record.state is JobState.DEAD
    assert record.error is not None
    assert (record.error.type, record.error.message) == (
        "WorkerLost",
        "its worker vanished 5 times while it ran the job",
    )
    assert jobs.trace.of(handle.id) == ["start"] * 5
    assert jobs.app.AsyncResult(handle.id).state == "FAILURE"
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    retried = await jobs.app.client.retry(handle.id)  # it can be replayed
    assert not retried.state.finished
    await handle.cancel()


@pytest.mark.slow
async def test_a_job_that_ends_its_worker_again_and_again_takes_no_other_along(
    jobs: ContractJobs, start: StartWorker, module: str
) -> None:
    gate, now = uuid4().hex, uuid4().hex
    jobs.trace.open(now)
    neighbours = await jobs.hold.enqueue_many([{"gate": gate}] * 10)
    poison = await jobs.crash.enqueue(now)
    neighbours += await jobs.hold.enqueue_many([{"gate": gate}] * 20)
    for number in range(1, 6):
        start(module, pool="asyncio", concurrency=100, until=None).wait_end()
        assert jobs.trace.of(poison.id) == ["start"] * number
        if number == 3:
            jobs.trace.open(gate)
    start(module, pool="asyncio", concurrency=100)
    assert (await jobs.app.client.wait(poison.id, timeout=60)).state is JobState.DEAD
    for neighbour in neighbours:
        assert await neighbour.result(timeout=60) == gate


async def test_a_warm_shutdown_ends_what_runs_and_gives_back_the_rest(
    jobs: ContractJobs, start_each_pool: StartEachPool
) -> None:
    first = start_each_pool()
    gate = uuid4().hex
    handles = {pool: await jobs.hold.options(queue=pool).enqueue_many([{"gate": gate}] * 3) for pool in POOLS}
    for pool in POOLS:
        await starts(jobs, handles[pool][0].id, 1)
    for worker in first:
        worker.signal(signal.SIGTERM)
        worker.wait_for_log("Warm shutdown")
    late_enough = time.monotonic() + 2 * LEASE  # they go on renewing their leases while they wait for their jobs
    await eventually(lambda: time.monotonic() > late_enough)
    jobs.trace.open(gate)
    for pool in POOLS:
        assert await handles[pool][0].result(timeout=60) == gate
    assert [worker.wait_end() for worker in first] == [0] * len(POOLS)
    start_each_pool()
    for handle in chain.from_iterable(handles.values()):
        assert await handle.result(timeout=LEASE) == gate  # at once: no lease had to run out
        assert jobs.trace.of(handle.id) == ["start", "end"]


async def test_a_cold_shutdown_gives_back_what_runs(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    worker = start(module, pool="prefork", concurrency=2, settings={"lease": 600})
    gate = uuid4().hex
    handles = await jobs.hold_sync.enqueue_many([{"gate": gate}] * 2)
    for handle in handles:
        await starts(jobs, handle.id, 1)
    worker.signal(signal.SIGQUIT)
    assert worker.wait_end() == 0
    assert broker.keys("celeriac:held:*") == []  # nobody has to wait for its lease to run out
    start(module, pool="threads")
    jobs.trace.open(gate)
    for handle in handles:
        assert await handle.result(timeout=60) == gate


async def test_what_began_with_its_taking_and_never_ran_is_queued_again_after_a_cold_shutdown(
    jobs: ContractJobs, start: StartWorker, module: str, broker: redis.Redis
) -> None:
    worker = start(module, pool="asyncio", concurrency=100, settings={"lease": 600})
    gate = uuid4().hex
    handles = await jobs.hold_sync.enqueue_many([{"gate": gate}] * 100)
    await eventually(lambda: sum("start" in jobs.trace.of(handle.id) for handle in handles) >= THREADS, "all are busy")
    worker.signal(signal.SIGQUIT)
    assert worker.wait_end() == 0
    idle = [handle for handle in handles if not jobs.trace.of(handle.id)]
    assert {(await handle.status()).state for handle in idle} == {JobState.QUEUED}
    start(module, pool="asyncio", concurrency=100)
    jobs.trace.open(gate)
    for handle in handles:
        assert await handle.result(timeout=60) == gate
    assert {broker.hget(keys.record(handle.id), "lost") for handle in idle} == {None}


@pytest.mark.slow
async def test_nothing_is_lost_when_workers_are_killed_while_they_drain_a_queue(
    jobs: ContractJobs, start: StartWorker, module: str
) -> None:
    handles = await jobs.sleep_sync.enqueue_many([{"seconds": 0.005}] * 500)
    for _ in range(3):
        victim = start(module, pool="threads", concurrency=4)
        await eventually(partial(_has_run, victim, 20))
        victim.kill()
    states = [(await handle.status()).state for handle in handles]
    assert states.count(JobState.SUCCEEDED) < 500
    start(module, pool="threads", concurrency=4)
    for handle in handles:
        await handle.result(timeout=60)
    runs = [jobs.trace.of(handle.id) for handle in handles]
    assert all("end" in run for run in runs)
    again = sum(run.count("start") - 1 for run in runs)
    assert again <= 3 * 4  # what ran when a worker was killed, and nothing else


def _has_run(worker: Worker, jobs: int) -> bool:
    return worker.log.count(" succeeded in ") >= jobs
