"""A broker that is killed, restarted, frozen, or closes connections: nothing is lost, and nothing hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from kombu.exceptions import OperationalError

from celeriac import BrokerUnavailable, JobHandle, JobState
from tests.integration.engine.conftest import Broker
from tests.support.broker import unable_to_save
from tests.support.clock import FairClock, fair_clock, longest_gap
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import LEASE, StartWorker
from tests.support.slow import quick_first
from tests.support.waiting import eventually

#: One quick pool; the others, whose mechanism is the same, with `--slow`.
EVERY_POOL = pytest.mark.parametrize("pool", quick_first(["prefork", "solo", "threads"]))


async def starts(jobs: ContractJobs, job_id: str, times: int = 1) -> None:
    await eventually(lambda: jobs.trace.of(job_id).count("start") >= times, f"start number {times}")


#: Seconds that a client waits for an answer of the broker.
ONE_WAIT = 1.5


@EVERY_POOL
async def test_a_broker_that_is_killed_and_restarted_loses_nothing_and_doubles_nothing_that_had_ended(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str, pool: str
) -> None:
    jobs = jobs_on_own_broker
    worker = start(module, pool=pool, url=own_broker.url, concurrency=2)
    gate = uuid4().hex
    ended = await jobs.sleep_sync.enqueue(0)
    await ended.result(timeout=60)
    running = await jobs.hold.enqueue(gate)
    await starts(jobs, running.id)
    queued = await jobs.hold.enqueue_many([{"gate": gate}] * 5)
    delayed = await jobs.add.options(delay=1).enqueue(1)
    await asyncio.to_thread(own_broker.client().execute_command, "WAITAOF", 1, 0, 2000)
    await own_broker.kill()
    await own_broker.start()
    jobs.trace.open(gate)
    for handle in [running, *queued]:
        assert await handle.result(timeout=60) == gate
        assert jobs.trace.of(handle.id).count("end") == 1
    assert await delayed.result(timeout=60) == 2
    assert await ended.result(timeout=60) is None
    assert jobs.trace.of(ended.id) == ["start", "end"]
    # What ran went on running, and its report outlived the outage: it was not given to anyone else.
    assert jobs.trace.of(running.id) == ["start", "end"]
    assert worker.process.poll() is None


@EVERY_POOL
async def test_a_connection_that_breaks_while_a_job_runs_does_not_run_it_twice(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str, pool: str
) -> None:
    jobs = jobs_on_own_broker
    workers = [start(module, pool=pool, concurrency=1, url=own_broker.url) for _ in range(2)]
    gate = uuid4().hex
    handles = await jobs.hold.enqueue_many([{"gate": gate}] * 3)  # one for each worker, and one that waits
    await eventually(lambda: sum("start" in jobs.trace.of(handle.id) for handle in handles) == 2)
    with own_broker.client() as client:
        for connections in ("normal", "pubsub"):
            client.execute_command("CLIENT", "KILL", "TYPE", connections, "SKIPME", "yes")
    if pool != "solo":  # which notices when its job has ended
        for worker in workers:
            await eventually(lambda worker=worker: worker.log.count("Connected to redis://") >= 2)
    jobs.trace.open(gate)
    for handle in handles:
        assert await handle.result(timeout=60) == gate
        assert jobs.trace.of(handle.id) == ["start", "end"]


@pytest.mark.alone
async def test_a_frozen_broker_is_an_error_in_time_for_every_operation_and_never_blocks_the_loop(
    jobs_on_own_broker: ContractJobs, own_broker: Broker
) -> None:
    jobs = jobs_on_own_broker
    known = await jobs.add.options(delay=600).enqueue(1)
    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "enqueue": lambda: jobs.add.enqueue(1),
        "enqueue_many": lambda: jobs.add.enqueue_many([{"a": 1}] * 1000),
        "status": known.status,
        "cancel": known.cancel,
        "retry": lambda: jobs.app.client.retry(known.id),
        "page": jobs.app.client.page,
        "ping": jobs.app.client.ping,
    }

    async def fail(what: str, clock: FairClock) -> float:
        started = clock()
        with pytest.raises(BrokerUnavailable, match=rf"did not answer within {ONE_WAIT} s"):
            await operations[what]()
        return clock() - started

    own_broker.freeze()
    with fair_clock() as clock:
        async with longest_gap(clock) as gaps:
            taken = await asyncio.gather(*(fail(what, clock) for what in operations))
    waited_twice = {what: seconds for what, seconds in zip(operations, taken, strict=True) if seconds > 2}
    assert waited_twice == {}
    assert gaps[-1] < 0.25, "the event loop waited for the broker"
    own_broker.thaw()
    await eventually(lambda: _answers(jobs), "the broker is used again")
    assert (await known.status()).state is JobState.SCHEDULED


@pytest.mark.alone
async def test_many_callers_of_a_frozen_broker_all_get_their_error_in_time(
    jobs_on_own_broker: ContractJobs, own_broker: Broker
) -> None:
    jobs = jobs_on_own_broker
    await jobs.app.client.ping()
    own_broker.freeze()
    with fair_clock() as clock:
        answers = await asyncio.gather(*(jobs.add.enqueue(i) for i in range(200)), return_exceptions=True)
        assert clock() < 2.5, "one wait for a way to the broker, and then one for the broker"
    assert {type(answer) for answer in answers} == {BrokerUnavailable}
    own_broker.thaw()
    await eventually(lambda: _answers(jobs), "the broker is used again")


async def _held(jobs: ContractJobs) -> tuple[str, JobHandle[str]]:
    """A job that runs until its gate is opened."""
    gate = uuid4().hex
    handle = await jobs.hold.enqueue(gate)
    await starts(jobs, handle.id)
    return gate, handle


async def test_workers_carry_on_after_a_freeze(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str
) -> None:
    jobs = jobs_on_own_broker
    start(module, pool="threads", url=own_broker.url, concurrency=2)
    gate, handle = await _held(jobs)
    own_broker.freeze()
    frozen_until = time.monotonic() + LEASE * 1.5  # longer than the lease: nobody could take the job over meanwhile
    await eventually(lambda: time.monotonic() > frozen_until)
    own_broker.thaw()
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2


@pytest.mark.slow
async def test_an_outage_longer_than_the_lease_takes_no_job_from_a_worker_that_outlasts_it(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str
) -> None:
    """All leases have run out by then, and each worker could take the others for dead."""
    jobs, gate, lease = jobs_on_own_broker, uuid4().hex, 2 * LEASE
    handles = []
    for number in range(3):
        start(module, pool="asyncio", url=own_broker.url, concurrency=1, settings={"lease": lease})
        handles.append(await jobs.hold.enqueue(gate))
        await starts(jobs, handles[number].id)
    await own_broker.kill()
    back = time.monotonic() + 1.5 * lease
    await eventually(lambda: time.monotonic() > back)
    await own_broker.start()
    late = time.monotonic() + lease
    await eventually(lambda: time.monotonic() > late)
    jobs.trace.open(gate)
    for handle in handles:
        assert await handle.result(timeout=60) == gate
        assert jobs.trace.of(handle.id) == ["start", "end"]


async def test_a_waiter_outlasts_a_restart(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str
) -> None:
    jobs = jobs_on_own_broker
    start(module, pool="threads", url=own_broker.url, concurrency=2)
    gate, handle = await _held(jobs)
    waiter = asyncio.create_task(handle.result(timeout=60))
    await own_broker.kill()
    await own_broker.start()
    jobs.trace.open(gate)
    assert await waiter == gate


@pytest.mark.alone
async def test_after_a_restart_the_next_call_is_served(jobs_on_own_broker: ContractJobs, own_broker: Broker) -> None:
    jobs = jobs_on_own_broker
    handles = await asyncio.gather(*(jobs.add.options(delay=600).enqueue(i) for i in range(20)))  # many connections
    await own_broker.kill()
    await own_broker.start()
    for handle in handles:  # each may get a connection that is dead by now
        assert (await handle.status()).state is JobState.SCHEDULED
    await asyncio.gather(*(jobs.add.options(delay=600).enqueue(i) for i in range(20)))


@pytest.mark.parametrize("how", quick_first(["dead", "frozen"]))
async def test_delay_against_an_absent_broker_fails_instead_of_hanging(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, how: str
) -> None:
    jobs = jobs_on_own_broker
    jobs.double.delay(1)
    if how == "dead":
        await own_broker.kill()
    else:
        own_broker.freeze()
    with fair_clock() as clock, pytest.raises(OperationalError):
        await asyncio.to_thread(jobs.double.delay, 2)
    assert clock() < (2 if how == "dead" else 10)
    if how == "dead":
        await own_broker.start()


async def test_a_worker_starts_while_the_broker_is_away_and_waits_for_it(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str
) -> None:
    jobs = jobs_on_own_broker
    handle = await jobs.add.enqueue(1)
    await own_broker.kill()
    worker = start(module, pool="solo", url=own_broker.url, until=r"Cannot connect to redis://")
    await own_broker.start()
    assert await handle.result(timeout=60) == 2
    assert worker.process.poll() is None


async def test_a_full_server_takes_nothing_in_and_still_lets_jobs_out(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str
) -> None:
    jobs = jobs_on_own_broker
    start(module, pool="threads", url=own_broker.url)
    gate = uuid4().hex
    handles = await jobs.hold.enqueue_many([{"gate": gate}] * 10)
    await starts(jobs, handles[0].id)
    with own_broker.client() as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - 1)
        with pytest.raises(BrokerUnavailable, match="OOM"):
            await jobs.add.enqueue(1)
        jobs.trace.open(gate)
        for handle in handles:
            assert await handle.result(timeout=60) == gate
        client.config_set("maxmemory", 0)
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork", "threads"]))
async def test_a_server_that_cannot_save_takes_nothing_in_and_workers_go_on_when_it_can(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str, pool: str, tmp_path: Path
) -> None:
    """As with a full disk: `MISCONF`, whatever is to be written."""
    jobs = jobs_on_own_broker
    worker = start(module, pool=pool, url=own_broker.url)
    gate = uuid4().hex
    handles = await jobs.hold.enqueue_many([{"gate": gate}] * 5)
    await starts(jobs, handles[0].id)
    with own_broker.client() as client:
        async with unable_to_save(tmp_path / "broker", client):
            with pytest.raises(BrokerUnavailable, match="MISCONF"):
                await jobs.add.enqueue(1)
            with pytest.raises(OperationalError, match="MISCONF"):
                await asyncio.to_thread(jobs.double.delay, 1)
            jobs.trace.open(gate)
            await eventually(lambda: jobs.trace.of(handles[0].id).count("end") == 1, "one has ended meanwhile")
            worker.wait_for_log("MISCONF")
    for handle in handles:
        assert await handle.result(timeout=60) == gate
        assert jobs.trace.of(handle.id) == ["start", "end"]
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    assert worker.process.poll() is None


async def test_a_server_that_is_busy_with_a_script_is_waited_for(
    jobs_on_own_broker: ContractJobs, own_broker: Broker, start: StartWorker, module: str
) -> None:
    jobs = jobs_on_own_broker
    worker = start(module, pool="threads", url=own_broker.url)
    with own_broker.client() as client, own_broker.client() as other:
        client.config_set("busy-reply-threshold", 100)
        script = asyncio.create_task(asyncio.to_thread(_run_for_ever, client))
        with pytest.raises(BrokerUnavailable, match="BUSY"):
            await eventually(jobs.app.client.ping)
        worker.wait_for_log("BUSY|busy|Busy")
        other.script_kill()
        await script
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    assert worker.process.poll() is None


def _run_for_ever(client: redis.Redis) -> None:
    with suppress(redis.ResponseError):  # killed
        client.eval("while true do end", 0)


async def _answers(jobs: ContractJobs) -> bool:
    try:
        await jobs.app.client.ping()
    except BrokerUnavailable:
        return False
    return True
