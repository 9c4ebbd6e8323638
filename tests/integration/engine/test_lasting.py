"""Jobs that outlast their worker's lease: typed and plain ones, under `celery worker` and under `celeriac worker`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import redis

from celeriac import Celeriac
from celeriac.store import keys
from tests.support import lasting
from tests.support.contract_jobs import Trace
from tests.support.fixtures import LEASE, StartWorker
from tests.support.lasting import Kind
from tests.support.running import running
from tests.support.slow import quick_first
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.usefixtures("no_key_leaks"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc"),
]

KINDS: tuple[Kind, ...] = ("typed", "plain")
STARTS = 120.0  # seconds; on a machine that has other work to do as well


class Lane(NamedTuple):
    """One kind of application under one of the commands, with a queue of its own."""

    kind: Kind
    command: str

    @property
    def queue(self) -> str:
        return f"{self.kind}-{self.command}"


LANES = [Lane("typed", "celeriac"), Lane("plain", "celery"), Lane("typed", "celery"), Lane("plain", "celeriac")]
#: How many lanes a test looks at: each kind and each command by default, every pair with `--slow`.
HOW_MANY = quick_first([2, 4])


class Processes(NamedTuple):
    """A started worker.

    Attributes:
        worker: the process that runs its jobs.
        all: its processes.
        printed: waits until it has printed what matches.
        log: what it has printed, once it has ended.
    """

    worker: int
    all: list[int]
    printed: Callable[[str], Awaitable[object]]
    log: Callable[[], str]


class Stand:
    """Starts workers, sends jobs, and looks at what becomes of them."""

    def __init__(self, url: str, lease: float, start: StartWorker, directory: Path) -> None:
        self.trace = Trace(url)
        self._url, self._lease, self._start, self._directory = url, lease, start, directory
        self._made = {kind: lasting.create(kind, url, lease) for kind in KINDS}
        self._broker = redis.Redis.from_url(url)

    async def aclose(self) -> None:
        for app, _ in self._made.values():
            if isinstance(app, Celeriac):
                await app.client.aclose()
            app.close()
            app.backend.close()
        self._broker.close()

    async def send(self, lane: Lane, name: str, *arguments: object) -> str:
        return await self._made[lane.kind][1](name, *arguments, queue=lane.queue)

    @asynccontextmanager
    async def worker(self, lane: Lane) -> AsyncGenerator[Processes]:
        """The lane's worker, started by the lane's command."""
        if lane.command == "celery":
            yield self.competitor(lane.kind, [lane])
            return
        command = ["-m", "celeriac", "worker", "-A", "tests.support.lasting:app", "--shards=1", "-Q", lane.queue]
        async with running(command, environment=self._environment(lane.kind)) as parent:
            await parent.printed(r"celeriac \| 1 shard is ready", within=STARTS)
            family = _family(parent.process.pid)
            yield Processes(family[-1], family, parent.printed, lambda: "\n".join(parent.lines))

    def competitor(self, kind: Kind, lanes: Sequence[Lane]) -> Processes:
        """A worker that could take jobs of these lanes over."""
        queues = ",".join(lane.queue for lane in lanes)
        application, environment = "tests.support.lasting", self._environment(kind)
        worker = self._start(
            "",
            pool="asyncio",
            concurrency=10,
            application=application,
            environment=environment,
            options=[f"--queues={queues}"],
        )
        printed = partial(asyncio.to_thread, worker.wait_for_log)
        return Processes(worker.pid, [worker.pid], printed, lambda: worker.log)

    def competitors(self) -> dict[Kind, Processes]:
        return {kind: self.competitor(kind, [lane for lane in LANES if lane.kind == kind]) for kind in KINDS}

    async def started(self, job_id: str, pid: int) -> None:
        await eventually(lambda: f"start {pid}" in self.trace.of(job_id), f"{job_id} runs in {pid}", within=STARTS)

    async def stopped(self, job_id: str, pid: int) -> None:
        await eventually(lambda: f"cancelled {pid}" in self.trace.of(job_id), f"{job_id} is stopped in {pid}")

    async def outcome(self, job_id: str, within: float = STARTS) -> tuple[str, object]:
        """State and result, once it has ended."""
        return await eventually(lambda: self.seen(job_id), f"{job_id} has ended", within=within)

    def seen(self, job_id: str) -> tuple[str, object] | None:
        raw = self._broker.get(keys.result(job_id))
        outcome = json.loads(raw) if raw else {"status": "PENDING"}  # type: ignore[arg-type]
        return (outcome["status"], outcome["result"]) if outcome["status"] in ("SUCCESS", "FAILURE") else None

    def _environment(self, kind: Kind) -> dict[str, str]:
        own = {"LASTING": kind, "LASTING_URL": self._url, "LASTING_LEASE": str(self._lease)}
        settings = {"BROKER_URL": self._url, "LEASE": str(self._lease), "DATA_DIR": str(self._directory)}
        return own | {f"CELERIAC_{name}": value for name, value in settings.items()}


def _family(pid: int) -> list[int]:
    """A process, its children, and theirs: of a parent with one shard the last is the shard."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


#: A lease, the job that blocks the event loop and for how long, and for how long the job lasts that waits on it (s).
#: The long one takes a core as well.
TIMES = [(LEASE, "stall", 1.5 * LEASE, 2 * LEASE), (5.0, "compute", 20.0, 60.0)]


@asynccontextmanager
async def lasting_stand(url: str, lease: float, start: StartWorker, directory: Path) -> AsyncGenerator[Stand]:
    stand = Stand(url, lease, start, directory)
    try:
        yield stand
    finally:
        await stand.aclose()


@asynccontextmanager
async def each_of(lanes: Sequence[Lane], stand: Stand) -> AsyncGenerator[dict[Lane, Processes]]:
    """A worker for each lane."""
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(*(stack.enter_async_context(stand.worker(lane)) for lane in lanes))
        yield dict(zip(lanes, started, strict=True))


@pytest.mark.parametrize("lanes", HOW_MANY)
@pytest.mark.parametrize("times", quick_first(TIMES), ids=lambda times: f"{times[3]:g} s")
async def test_a_job_longer_than_its_lease_runs_once_even_if_another_one_blocks_the_loop(
    broker_url: str, start: StartWorker, tmp_path: Path, times: tuple[float, str, float, float], lanes: int
) -> None:
    lease, blocker, blocked, lasts = times
    async with lasting_stand(broker_url, lease, start, tmp_path) as stand:
        async with each_of(LANES[:lanes], stand) as workers:
            long, busy = {}, {}
            for lane, worker in workers.items():
                long[lane] = await stand.send(lane, "nap", lasts)
                await stand.started(long[lane], worker.worker)
                busy[lane] = await stand.send(lane, blocker, blocked)
                await stand.started(busy[lane], worker.worker)
            others = stand.competitors()
            for lane, worker in workers.items():
                for job_id in (long[lane], busy[lane]):
                    assert await stand.outcome(job_id, within=lasts + STARTS) == ("SUCCESS", worker.worker)
                    assert stand.trace.of(job_id) == [f"start {worker.worker}"]
        logs = [worker.log() for worker in (*workers.values(), *others.values())]
        assert not any("run out" in log or "brought back" in log for log in logs)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", HOW_MANY)
async def test_a_worker_that_was_frozen_past_its_lease_stops_what_runs_elsewhere_and_its_results_are_refused(
    broker_url: str, broker: redis.Redis, start: StartWorker, tmp_path: Path, lanes: int
) -> None:
    """Frozen as a whole: a parent that goes on keeps the lease of its frozen worker."""
    async with lasting_stand(broker_url, LEASE, start, tmp_path) as stand, each_of(LANES[:lanes], stand) as workers:
        gate, free = uuid4().hex, uuid4().hex
        held = {lane: await stand.send(lane, "hold", gate) for lane in workers}
        for lane, worker in workers.items():
            await stand.started(held[lane], worker.worker)
        busy = {lane: await stand.send(lane, "block", free) for lane in workers}
        for lane, worker in workers.items():
            await stand.started(busy[lane], worker.worker)
        _signal(workers, signal.SIGSTOP)
        await eventually(lambda: _frozen(workers), "all threads have stopped")
        stand.trace.open(free)
        others = stand.competitors()
        for lane in workers:
            other = others[lane.kind].worker
            assert await stand.outcome(busy[lane]) == ("SUCCESS", other)
            await stand.started(held[lane], other)
        _signal(workers, signal.SIGCONT)  # what blocked the loop is over at once, before anybody can tell it to stop
        for lane, worker in workers.items():
            await worker.printed("had run out")
            await worker.printed("was acknowledged too late")
            await stand.stopped(held[lane], worker.worker)
        stand.trace.open(gate)
        for lane in workers:
            late, other = workers[lane].worker, others[lane.kind].worker
            assert await stand.outcome(held[lane]) == ("SUCCESS", other)
            assert stand.trace.of(held[lane]) == [
                f"start {late}",
                f"start {other}",
                f"cancelled {late}",
                f"end {other}",
            ]
            assert stand.seen(busy[lane]) == ("SUCCESS", other)
        await eventually(lambda: not broker.keys(keys.held("*")), "nothing is held")
        await _still_works(stand, workers, others)


def _signal(workers: dict[Lane, Processes], signum: signal.Signals) -> None:
    for worker in workers.values():
        for pid in worker.all:
            os.kill(pid, signum)


def _frozen(workers: dict[Lane, Processes]) -> bool:
    """Whether no thread runs any more. The kernel hands the signal to one, which stops the others in its turn."""
    return all(
        stat.read_text().rpartition(")")[2].split()[0] == "T"
        for worker in workers.values()
        for pid in worker.all
        for stat in Path(f"/proc/{pid}/task").glob("*/stat")
    )


async def _still_works(stand: Stand, workers: dict[Lane, Processes], others: dict[Kind, Processes]) -> None:
    """Those that were late take jobs again, now that nobody else does."""
    for other in others.values():
        os.kill(other.worker, signal.SIGSTOP)
    for lane, worker in workers.items():
        assert await stand.outcome(await stand.send(lane, "nap", 0)) == ("SUCCESS", worker.worker)
    for other in others.values():
        os.kill(other.worker, signal.SIGCONT)
