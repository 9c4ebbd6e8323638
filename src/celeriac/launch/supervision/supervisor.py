"""Starts children stage by stage, keeps them running, and stops them in the opposite order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter

from celeriac.launch.supervision.child_supervisor import Child, ChildSupervisor, RestartPolicy
from celeriac.launch.supervision.log_output import SUPERVISOR, LogWriter

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_SIGNAL_S = 0.3  # `timeout` and terminals under some wrappers deliver one Ctrl-C twice
_REMIND_EVERY_S = 10.0  # between two reminders of a child that is not yet ready


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask a supervisor to stop: not SIGHUP while it is ignored, as `nohup` leaves it."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signum for signum in _STOP_SIGNALS if not (ignored and signum == signal.SIGHUP)]


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """What is said at the first stop signal, and what further signals do to children that still run."""

    promise: str = "stopping; Ctrl-C kills"
    hurry: tuple[tuple[signal.Signals, str], ...] = ((signal.SIGKILL, "killing what is left"),)
    """For each further signal: the signal that the children get, and what is said. The last pair repeats."""
    on: tuple[signal.Signals, ...] = (signal.SIGINT,)
    """Which signals count as further ones."""


class Supervisor:
    """Keeps children running from `start` to `stop`. They end when this process ends, even by SIGKILL."""

    def __init__(
        self,
        children: Sequence[Child],
        log: LogWriter,
        policy: RestartPolicy | None = None,
        shutdown: Shutdown | None = None,
    ) -> None:
        self.say = partial(log.line, SUPERVISOR)
        self._shutdown = shutdown or Shutdown()
        self._signals = 0  # how many have asked to stop
        self._last_signal = 0.0
        by_stage = attrgetter("stage")
        self._stages = [
            [
                ChildSupervisor(child, policy or RestartPolicy(), partial(log.line, child.name), self.say)
                for child in stage
            ]
            for _, stage in groupby(sorted(children, key=by_stage), by_stage)
        ]

    async def start(self) -> None:
        """Start every child and wait until all are ready.

        Raises:
            StartFailed: one of them ended again and again; the others run until `stop`.
        """
        for stage in self._stages:
            for child in stage:
                child.start()
            try:
                async with asyncio.TaskGroup() as group:
                    waiting = {child: group.create_task(child.ready()) for child in stage}
                    await self._remind(waiting)
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def stop(self) -> None:
        """Stop the children, the last stage first, those of a stage together."""
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))

    def hurry(self, signum: signal.Signals) -> None:
        """Send every child `signum` at once, so that `stop` waits less."""
        for stage in self._stages:
            for child in stage:
                child.hurry(signum)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run the children until one of `stop_signals`. `Shutdown` says what further signals do.

        The handlers stay until the loop is closed, so a late signal does not cut off the cleanup after this.

        Raises:
            StartFailed: one of the children ended again and again; all have been stopped.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in stop_signals():
            loop.add_signal_handler(signum, self._on_signal, signum, stopping)
        asked_to_stop = asyncio.create_task(stopping.wait())
        starting = asyncio.create_task(self.start())
        try:
            await asyncio.wait({starting, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                on_ready()
                await asked_to_stop
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()
            asked_to_stop.cancel()

    def _on_signal(self, signum: signal.Signals, stopping: asyncio.Event) -> None:
        now, before = time.monotonic(), self._last_signal
        if not stopping.is_set():
            self.say(f"{signum.name}: {self._shutdown.promise}")
            stopping.set()
        elif signum in self._shutdown.on and now - before > _SAME_SIGNAL_S:
            step, said = self._shutdown.hurry[min(self._signals, len(self._shutdown.hurry)) - 1]
            self.say(said)
            self.hurry(step)
        else:
            return
        self._signals += 1
        self._last_signal = now

    async def _remind(self, waiting: dict[ChildSupervisor, asyncio.Task[None]]) -> None:
        """Name the children that are not ready, every `_REMIND_EVERY_S`, until all are ready or one has failed."""
        while pending := [task for task in waiting.values() if not task.done()]:
            ended, _ = await asyncio.wait(pending, timeout=_REMIND_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            names = dict.fromkeys(child.name for child, task in waiting.items() if not task.done())
            if not ended:
                self.say(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not ready yet")
