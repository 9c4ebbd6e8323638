"""Keeps one child running: starts it, waits until it is ready, and restarts it when it dies."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from celeriac.core.errors import CeleriacError, StartFailed, StartRefused
from celeriac.launch.supervision.child_process import Running
from celeriac.launch.supervision.log_output import LineReader
from celeriac.launch.supervision.probes import Probe, wait_until_ready

#: The exit code for a wrong command line. A restart would end in the same way.
_USAGE = 2


async def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Child:
    """A program to keep running, and its name in the log."""

    name: str
    spawn: Callable[[int | None], Awaitable[Running]]
    """Starts the program once. Its argument is the file descriptor for the output; None means this process's own."""
    probe: Callable[[], Probe]
    """A new probe for each start."""
    after: Callable[[], Awaitable[object]] = _nothing
    """Awaited before each start."""
    on_ready: Callable[[int], None] = lambda _pid: None
    """Called with the pid each time the child has become ready."""
    on_end: Callable[[int], None] = lambda _pid: None
    """Called with the pid each time the child has ended, and what it left behind was killed."""
    dispensable: Callable[[], bool] = lambda: False
    """Asked when the child has ended: True if it need not be restarted."""
    retired: Callable[[], str] = lambda: ""
    """Asked when the child has ended with code 0: the reason if it retired by plan. Another is then started at once."""
    is_noise: Callable[[str], bool] = lambda _line: False
    """Whether to leave a printed line out of the log."""
    captured: bool = True
    """Whether this process reads its output line by line."""
    stage: int = 1
    """Children of a stage start when those of the stage before are ready, and stop before them."""
    grace: float | None = 10.0
    """Seconds between SIGTERM and SIGKILL; None waits without end."""


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How long to wait before a dead child is restarted, and when to give up."""

    first: float = 0.05
    """Seconds before the first restart. Each further delay is twice as long."""
    longest: float = 10.0
    """Longest delay in seconds."""
    stable: float = 10.0
    """Seconds after which a living child counts as stable: its next restart has the first delay."""
    failures: int = 3
    """Ends in succession before a child that has never been ready is given up; a wrong command line is at once."""

    def delay(self, restarts: int) -> float:
        """Seconds to wait before the next start, after so many restarts in succession."""
        return min(self.first * 2.0 ** min(restarts, 32), self.longest)


@dataclass(frozen=True)
class _Ending:
    """How a process ended, and the reason it reported. Without a code, it could not be started."""

    words: str
    code: int | None = None
    refusal: StartRefused | None = None


class ChildSupervisor:
    """Keeps one child running from `start` to `stop`, in one process after another."""

    def __init__(self, child: Child, policy: RestartPolicy, log: Callable[[str], None], say: Callable[[str], None]):
        self.child = child
        self._policy = policy
        self._log = log
        self._say = say
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._process: Running | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.child.name

    def start(self) -> None:
        """Begin to keep the child running; returns at once."""
        self._task = asyncio.create_task(self._run(), name=self.child.name)

    async def ready(self) -> None:
        """Wait until the child is ready.

        Raises:
            StartFailed: it ended again and again instead, or at once and said why.
        """
        if self._task is None:
            raise RuntimeError("not started")
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """End the child: SIGTERM, and SIGKILL for its process group when the grace is over."""
        self._stopping.set()
        if self._process is not None:
            self._process.signal(signal.SIGTERM)
        if self._task is None:
            return
        ended, _ = await asyncio.wait({self._task}, timeout=self.child.grace)
        if not ended:
            self._say(f"{self.child.name} has not ended within {self.child.grace or 0:g} s; killing it")
            self.kill()
        await asyncio.gather(self._task, return_exceptions=True)  # its failure has been told, or another child's

    def kill(self) -> None:
        """End the child and its process group at once."""
        self.hurry(signal.SIGKILL)

    def hurry(self, signum: signal.Signals) -> None:
        """End the child by another signal than SIGTERM; SIGKILL is for its process group as well."""
        self._stopping.set()
        if self._process is None:
            return
        if signum == signal.SIGKILL:
            self._process.kill_group()
        else:
            self._process.signal(signum)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        restarts = 0
        been_ready = False
        while not await self._stopped_before(self.child.after()):
            started = loop.time()
            ending = await self._run_once()
            been_ready = been_ready or self._ready.is_set()
            self._ready.clear()
            if self._stopping.is_set() or self.child.dispensable():
                return
            if ending.code == 0 and (why := self.child.retired()):
                self._say(f"{self.child.name} {why}; starting another")
                restarts = 0
                continue
            if loop.time() - started >= self._policy.stable:
                restarts = 0
            if not been_ready:
                self._give_up(ending, restarts + 1)
            delay = self._policy.delay(restarts)
            self._say(f"{self.child.name} {ending.words}; starting it again in {delay:g} s")
            restarts += 1
            if await self._stopped_within(delay):
                return

    def _give_up(self, ending: _Ending, starts: int) -> None:
        """Raise unless another start may help a child that has never been ready."""
        if ending.refusal is not None:
            raise ending.refusal
        if ending.code == _USAGE:
            raise StartFailed(f"{self.child.name} {ending.words}", ending.code)
        if starts >= self._policy.failures:
            raise StartFailed(f"{self.child.name} {ending.words}, {starts} times, and was never ready", ending.code)

    async def _run_once(self) -> _Ending:
        """Run one process, from start to end."""
        probe = self.child.probe()
        output = await LineReader.open(partial(self._on_line, probe)) if self.child.captured else None
        try:
            process = await self.child.spawn(output and output.write_end)
        except (CeleriacError, OSError) as error:
            return _Ending(f"could not be started: {error}")
        finally:
            if output is not None:
                output.close_write_end()
        getting_ready = asyncio.create_task(self._announce(probe, process.pid))
        self._process = process
        if self._stopping.is_set():  # asked to stop while it was being started
            process.kill_group()
        try:
            code = await process.wait()
        finally:
            self._process = None
            getting_ready.cancel()
            process.kill_group()  # what a dead program has left behind
            self.child.on_end(process.pid)
            if output is not None:
                await output.drain()
        refusal = await probe.refusal()
        return _Ending(described(code) if refusal is None else f"cannot start: {refusal}", code, refusal)

    def _on_line(self, probe: Probe, line: str) -> None:
        probe.observe(line)
        if not self.child.is_noise(line):
            self._log(line)

    async def _announce(self, probe: Probe, pid: int) -> None:
        await wait_until_ready(probe)
        try:
            self.child.on_ready(pid)
        except OSError as error:
            self._say(f"{self.child.name} is ready, but its address cannot be written down: {error}")
        self._ready.set()

    async def _stopped_before(self, event: Awaitable[object]) -> bool:
        """Wait for the event; whether the child has to be stopped meanwhile."""
        waiting = [asyncio.ensure_future(event), asyncio.create_task(self._stopping.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        return self._stopping.is_set()

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()


def described(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
