"""`celeriac worker`: shards that are killed, blocked and frozen, and the parent that keeps them and their leases."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
import redis

from celeriac import Settings
from celeriac.core.cores import available_cores
from celeriac.store import keys
from tests.support import shard_jobs
from tests.support.broker import fragile_broker
from tests.support.fixtures import LEASE, worker_environment
from tests.support.processes import is_alive
from tests.support.running import Running, running
from tests.support.shard_jobs import ShardJobs
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.workers import POOLS

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")

MODULE = "tests.support.shard_jobs"
READY = r"celeriac \| (\d+) shards? (is|are) ready"
STARTS = 120.0  # seconds; on a machine that has other work to do as well
NOT_SOON = 600  # seconds of a lease that does not run out in a test

Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(broker_url: str, tmp_path: Path) -> Start:
    """Starts a worker with its shards: `start("--pool=solo", shards=2, lease=600)`."""

    @asynccontextmanager
    async def start_one(
        *options: str, url: str = broker_url, shards: int = 2, lease: float = NOT_SOON, ready: bool = True, **more: str
    ) -> AsyncGenerator[Running]:
        environment = {**worker_environment(MODULE, url, tmp_path, worker_shards=shards, lease=lease), **more}
        command = ["-m", "celeriac", "worker", "-A", "tests.support.celery_main:app", *options]
        async with running(command, environment=environment) as worker:
            if ready:
                await worker.printed(READY, within=STARTS)
            yield worker

    return start_one


@pytest_asyncio.fixture
async def jobs(settings: Settings) -> AsyncGenerator[ShardJobs]:
    made = shard_jobs.create(settings)
    yield made
    await made.app.client.aclose()
    made.app.close()


def _pool(name: str) -> list[str]:
    """The option that chooses the pool; asyncio's is the default."""
    return [] if name == "asyncio" else [f"--pool={name}"]


def _shards(worker: Running) -> list[int]:
    """The pids of the shards, which are forked from the parent; none if it has ended."""
    return _children_of(worker.process.pid)


def _children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _shard_of(worker: Running, pid: int) -> int:
    """The shard whose process, or pool's process, `pid` is."""
    return next(shard for shard in _shards(worker) if pid in (shard, *_children_of(shard)))


async def _started(jobs: ShardJobs, job_id: str, times: int = 1) -> int:
    """The process in which the job was started last, once it was so often."""
    await eventually(lambda: len(jobs.starts(job_id)) >= times, f"start number {times}", within=STARTS)
    return jobs.starts(job_id)[-1]


@pytest.mark.parametrize("pool", quick_first(POOLS))
async def test_a_killed_shards_job_runs_again_at_once(jobs: ShardJobs, start: Start, pool: str) -> None:
    gate = uuid4().hex
    async with start(*_pool(pool), "--concurrency=1") as worker:
        handle = await jobs.hold.enqueue(gate)
        first = await _started(jobs, handle.id)
        os.kill(_shard_of(worker, first), signal.SIGKILL)
        assert await _started(jobs, handle.id, 2) != first, "though its lease has not run out"
        jobs.trace.open(gate)
        assert await handle.result(timeout=STARTS) != first
        await worker.printed(r"celeriac \| worker-\d was killed by SIGKILL; starting it again in 0\.05 s")
        await worker.printed(r"celeriac \| brought back 1 message that worker ")
    assert jobs.trace.of(handle.id).count("end") == 1


async def test_a_shard_imports_nothing_of_the_api_the_database_or_a_terminal(jobs: ShardJobs, start: Start) -> None:
    async with start(shards=1):
        imported = set(await (await jobs.packages.enqueue()).result(timeout=STARTS))
    api = {"fastapi", "starlette", "uvicorn", "tornado", "flower"}
    families = {"sqlalchemy", "alembic", "jinja2", "email_validator"}
    assert imported & (api | families | {"rich", "prompt_toolkit", "click_repl"}) == set()


async def test_the_only_shards_job_runs_again_in_one_that_is_forked_at_once(jobs: ShardJobs, start: Start) -> None:
    gate = uuid4().hex
    async with start(shards=1) as worker:
        handle = await jobs.hold.enqueue(gate)
        first = await _started(jobs, handle.id)
        os.kill(first, signal.SIGKILL)
        second = await _started(jobs, handle.id, 2)
        assert _shards(worker) == [second]
        assert Path(f"/proc/{second}/comm").read_text() == "celeriac-shard\n"
        jobs.trace.open(gate)
        assert await handle.result(timeout=STARTS) == second != first


@pytest.mark.parametrize("opened", quick_first(["thread", "connection"]))
async def test_an_application_that_cannot_be_forked_gets_shards_that_are_programs_of_their_own(
    jobs: ShardJobs, start: Start, opened: str
) -> None:
    async with start(shards=1, TEST_OPEN=opened) as worker:
        await worker.printed(rf"shards are not forked from one process: the application \w+ a {opened}")
        first = await (await jobs.where.enqueue()).result(timeout=STARTS)
        assert _children_of(worker.process.pid) == [first]
        os.kill(first, signal.SIGKILL)
        assert await (await jobs.where.enqueue()).result(timeout=STARTS) != first
        worker.signal(signal.SIGTERM)
        assert await worker.ended(within=STARTS) == 0


async def test_a_signal_while_the_application_is_imported_ends_the_worker(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import signal\nprint('importing', flush=True)\nsignal.pause()\n")
    command = ["-m", "celeriac", "worker", "-A", "shop:app", "--data-dir", str(tmp_path / "data")]
    async with running(command, cwd=tmp_path) as worker:
        await worker.printed("importing", within=STARTS)
        worker.signal(signal.SIGTERM)
        assert await worker.ended(within=STARTS) == 0


@pytest.mark.slow
async def test_a_signal_to_all_processes_lets_running_jobs_end(jobs: ShardJobs, start: Start) -> None:
    """As systemd sends it."""
    gate = uuid4().hex
    async with start(shards=1) as worker:
        handle = await jobs.hold.enqueue(gate)
        first = await _started(jobs, handle.id)
        for pid in (worker.process.pid, *_shards(worker)):
            os.kill(pid, signal.SIGTERM)
        await worker.printed(r"celeriac \| SIGTERM: stopping when the running jobs have ended")
        await worker.printed(r"Warm shutdown")
        jobs.trace.open(gate)
        assert await worker.ended(within=STARTS) == 0
    assert await handle.result(timeout=STARTS) == first
    assert jobs.starts(handle.id) == [first]


@pytest.mark.slow
async def test_nothing_is_lost_when_shards_are_killed_in_the_middle_of_their_jobs(
    jobs: ShardJobs, start: Start
) -> None:
    async with start("--concurrency=4") as worker:
        handles = await jobs.note.enqueue_many([{"number": number} for number in range(600)])
        for done in (20, 150, 300):
            await eventually(lambda done=done: jobs.trace.of(handles[done].id), f"job {done} has run", within=STARTS)
            for pid in _shards(worker)[:1]:
                os.kill(pid, signal.SIGKILL)
        for number, handle in enumerate(handles):
            assert await handle.result(timeout=STARTS) == number


async def test_a_shard_that_holds_the_interpreters_lock_keeps_its_lease(
    jobs: ShardJobs, start: Start, broker_url: str
) -> None:
    """On the broker that the application names, whatever the settings say."""
    elsewhere = "redis://127.0.0.1:1"
    theirs = {"TEST_BROKER": broker_url, "CELERIAC_RESULT_URL": broker_url}
    async with start(url=elsewhere, lease=LEASE, **theirs):
        handle = await jobs.seize.enqueue(int(4 * LEASE))
        await handle.result(timeout=STARTS)
        assert [word.split()[0] for word in jobs.trace.of(handle.id)] == ["start", "end"]


@pytest.mark.slow
async def test_a_frozen_shard_keeps_its_job_until_it_is_killed(
    jobs: ShardJobs, start: Start, broker: redis.Redis
) -> None:
    gate = uuid4().hex
    async with start("--concurrency=1", lease=LEASE) as worker:
        handle = await jobs.hold.enqueue(gate)
        frozen = await _started(jobs, handle.id)
        os.kill(frozen, signal.SIGSTOP)
        since = _lease_of(broker, frozen)
        three_leases = since + 3000 * LEASE
        await eventually(lambda: _lease_of(broker, frozen) > three_leases, "its lease is renewed for it")
        assert jobs.starts(handle.id) == [frozen]
        os.kill(frozen, signal.SIGKILL)
        assert await _started(jobs, handle.id, 2) in _shards(worker)
        jobs.trace.open(gate)
        assert await handle.result(timeout=STARTS) != frozen


def _lease_of(broker: redis.Redis, pid: int) -> float:
    """The server's time in ms until which the process has its lease; 0 if it has none."""
    leases = broker.zrange(keys.LEASES, 0, -1, withscores=True)
    return next((until for name, until in leases if f"-{pid}-".encode() in name), 0)  # type: ignore[misc]


@pytest.mark.parametrize("pool", quick_first(POOLS))
@pytest.mark.parametrize("signum", quick_first([signal.SIGTERM, signal.SIGINT]))
async def test_a_signal_lets_running_jobs_end(
    jobs: ShardJobs, start: Start, broker: redis.Redis, pool: str, signum: signal.Signals
) -> None:
    gate = uuid4().hex
    async with start(*_pool(pool), "--concurrency=1", lease=LEASE) as worker:
        handle = await jobs.hold.enqueue(gate)
        running_in = await _started(jobs, handle.id)
        shards = _shards(worker)
        worker.signal(signum)
        await worker.printed(rf"celeriac \| {signum.name}: stopping when the running jobs have ended")
        busy = _shard_of(worker, running_in)
        await eventually(lambda: _shards(worker) == [busy], "the idle shard has ended")
        until = _lease_of(broker, busy)
        await eventually(lambda: _lease_of(broker, busy) > until, "the other keeps its lease")
        jobs.trace.open(gate)
        assert await worker.ended() == 0
    assert await handle.result(timeout=STARTS) == running_in
    assert jobs.starts(handle.id) == [running_in]
    assert not [pid for pid in (*shards, running_in) if is_alive(pid)]
    assert broker.zcard(keys.LEASES) == 0


@pytest.mark.slow
@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork"]))
async def test_another_signal_gives_running_jobs_back(jobs: ShardJobs, start: Start, pool: str) -> None:
    gate = uuid4().hex
    async with start(*_pool(pool), "--concurrency=1", shards=1) as worker:
        handle = await jobs.wait.enqueue(gate)
        first = await _started(jobs, handle.id)
        await _signal_until(worker, r"stopping now: what runs is given back")
        assert await worker.ended() == 0
    assert not is_alive(first)
    jobs.trace.open(gate)
    async with start(*_pool(pool), shards=1):  # long before the lease of the first runs out
        assert await handle.result(timeout=STARTS) != first


@pytest.mark.slow
async def test_a_third_signal_kills(jobs: ShardJobs, start: Start) -> None:
    """A thread cannot be ended, and holds up its process."""
    gate = uuid4().hex
    async with start("--pool=threads", "--concurrency=1", shards=1) as worker:
        handle = await jobs.hold.enqueue(gate)
        first = await _started(jobs, handle.id)
        await _signal_until(worker, r"stopping now")
        await _signal_until(worker, r"killing what is left")
        assert await worker.ended() == 0
    assert not is_alive(first)
    jobs.trace.open(gate)
    async with start("--pool=threads", shards=1):
        assert await handle.result(timeout=STARTS) != first


async def _signal_until(worker: Running, pattern: str) -> None:
    """Ask it to stop until it says so: signals that follow each other too closely count as one."""
    while True:
        worker.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await worker.printed(pattern, within=0.4)
            return


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork"]))
async def test_no_process_outlives_a_killed_parent_and_its_jobs_come_back(
    jobs: ShardJobs, start: Start, pool: str
) -> None:
    gate = uuid4().hex
    options = (*_pool(pool), "--concurrency=1")
    async with start(*options) as worker, start(*options, shards=1, ready=False) as other:
        await other.printed(READY, within=STARTS)
        processes = [pid for shard in _shards(worker) for pid in (shard, *_children_of(shard))]
        handles = [await jobs.hold.enqueue(gate) for _ in range(6)]

        def busy() -> set[int]:
            return {pid for handle in handles for pid in jobs.starts(handle.id)}

        await eventually(lambda: busy() & set(processes), "its shards have jobs", within=STARTS)
        worker.signal(signal.SIGKILL)
        await worker.process.wait()
        await eventually(lambda: not any(map(is_alive, processes)), f"{processes} are gone")
        jobs.trace.open(gate)
        survivors = {await handle.result(timeout=STARTS) for handle in handles}
    assert not survivors & set(processes)


@pytest.mark.slow
async def test_a_shard_that_ends_again_and_again_is_started_ever_later(start: Start) -> None:
    async with start(shards=1) as worker:
        for delay in ("0.05", "0.1", "0.2", "0.4"):
            seen = len(worker.lines)
            os.kill((await eventually(lambda: _shards(worker), "a shard", within=STARTS))[0], signal.SIGKILL)
            await worker.printed(rf"worker was killed by SIGKILL; starting it again in {delay} s", after=seen)


@pytest.mark.slow
async def test_a_signal_while_a_shard_is_to_be_started_again_leaves_none(start: Start) -> None:
    async with start() as worker:
        (first, second) = _shards(worker)
        os.kill(first, signal.SIGKILL)
        await worker.printed(r"worker-\d was killed by SIGKILL; starting it again")
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
    assert not is_alive(second)
    assert not _of_this_test(worker)


def _of_this_test(worker: Running) -> list[int]:
    """Processes whose death signal was to come from the worker's parent, which are in no other way its own any more."""
    mark = f"TEST_APPLICATION={MODULE}\0".encode()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes() and _parent_of(entry) in (1, worker.process.pid):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _parent_of(entry: Path) -> int:
    found = re.search(r"^PPid:\t(\d+)$", (entry / "status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("shards", quick_first([2, 1]))
async def test_shards_have_names_of_their_own_and_their_pools_share_the_cores(start: Start, shards: int) -> None:
    async with start("-n", "mail@%h", shards=shards, TEST_POOL="prefork") as worker:
        for name in ["mail"] if shards == 1 else ["mail-1", "mail-2"]:
            await worker.printed(rf"{name}@\S+ ready\.")
        pools = [_children_of(shard) for shard in _shards(worker)]
    assert [len(pool) for pool in pools] == [max(1, available_cores() // shards)] * shards


@pytest.mark.slow
async def test_a_broker_that_goes_away_ends_nothing(tmp_path: Path, start: Start) -> None:
    async with fragile_broker(tmp_path / "broker") as fragile:
        settings = worker_environment(MODULE, fragile.url, tmp_path)
        jobs = shard_jobs.create(Settings(broker_url=settings["CELERIAC_BROKER_URL"], data_dir=tmp_path))  # type: ignore[arg-type]
        async with start(url=fragile.url) as worker:
            before = _shards(worker)
            await fragile.kill()
            await worker.printed(r"celeriac \| the workers' leases cannot be renewed from here: .*; trying again")
            await fragile.start()
            await worker.printed(r"celeriac \| the workers' leases are renewed from here again")
            assert await (await jobs.note.enqueue(7)).result(timeout=STARTS) == 7
            assert _shards(worker) == before
            await fragile.kill()
            worker.signal(signal.SIGTERM)
            assert await worker.ended(within=STARTS) == 0
        await jobs.app.client.aclose()
        jobs.app.close()


@pytest.mark.slow
async def test_a_worker_waits_for_a_broker_that_is_not_there_yet(tmp_path: Path, start: Start) -> None:
    async with start(url="redis://127.0.0.1:1", shards=1, ready=False) as worker:
        await worker.printed(r"Cannot connect to redis", within=STARTS)
        worker.signal(signal.SIGTERM)
        assert await worker.ended(within=STARTS) == 0


@pytest.mark.parametrize("pool", quick_first(["asyncio", "solo", "threads"]))
async def test_a_shard_that_has_run_its_number_of_tasks_is_replaced_and_each_job_runs_once(
    jobs: ShardJobs, start: Start, pool: str
) -> None:
    async with start(*_pool(pool), "--concurrency=2", "--max-tasks-per-child=4", shards=1) as worker:
        handles = await jobs.note.enqueue_many([{"number": number} for number in range(10)])
        for number, handle in enumerate(handles):
            assert await handle.result(timeout=STARTS) == number
        await worker.printed(r"celeriac \| worker has begun \d tasks \(max_tasks_per_child=4\); starting another")
        ran_in = [pid for handle in handles for pid in jobs.starts(handle.id)]
        assert len(ran_in) == 10
        counts = {pid: ran_in.count(pid) for pid in ran_in}
        most = 4 if pool in ("asyncio", "solo") else 4 + 2  # what threads have begun by then
        assert all(count <= most for count in counts.values()), counts
        await eventually(lambda: _shards(worker) and _shards(worker)[0] not in list(counts)[:2], "it is another one")


@pytest.mark.slow
async def test_a_shard_that_retires_finishes_what_it_runs_and_takes_no_more(jobs: ShardJobs, start: Start) -> None:
    gate = uuid4().hex
    async with start("--concurrency=8", "--max-tasks-per-child=3", shards=1) as worker:
        held = await jobs.wait.enqueue(gate)
        first = await _started(jobs, held.id)
        for number in range(2):
            assert await (await jobs.note.enqueue(number)).result(timeout=STARTS) == number
        await worker.printed(r"this shard has begun 3 tasks .*: it takes no more")
        waits = await jobs.note.enqueue(7)
        assert jobs.starts(waits.id) == []
        jobs.trace.open(gate)
        assert await held.result(timeout=STARTS) == first
        assert await waits.result(timeout=STARTS) == 7
        assert jobs.starts(held.id) == [first]
        assert jobs.starts(waits.id) != [first]


@pytest.mark.slow
async def test_a_shard_that_has_grown_too_large_is_replaced(jobs: ShardJobs, start: Start) -> None:
    async with start("--max-memory-per-child=1024", shards=1) as worker:
        pids = [await (await jobs.where.enqueue()).result(timeout=STARTS) for _ in range(3)]
        await worker.printed(
            r"celeriac \| worker has \d+ KiB of memory \(max_memory_per_child=1024\); starting another"
        )
    assert len(set(pids)) == 3


@pytest.mark.slow
async def test_the_parent_of_shards_does_not_start_with_an_option_that_they_would_drop(start: Start) -> None:
    async with start("--autoscale=12,2", ready=False) as worker:
        await worker.printed(r"--autoscale=12,2 cannot be used", within=STARTS)
        assert await worker.ended(within=STARTS) == 2
