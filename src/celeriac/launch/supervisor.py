"""Starts children stage by stage, keeps them running, and stops them in the opposite order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter

from celeriac.launch.keeper import Child, Keeper, RestartPolicy
from celeriac.launch.output import SUPERVISOR, LogWriter

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_SIGNAL = 0.3  # seconds; `timeout` and terminals under some wrappers deliver one Ctrl-C twice
_REMIND = 10.0  # seconds between two reminders of a child that is not yet ready


class Supervisor:
    """Keeps children running from `start` to `stop`. When this process vanishes, so do they."""

    def __init__(self, children: Sequence[Child], log: LogWriter, policy: RestartPolicy | None = None) -> None:
        self.say = partial(log.line, SUPERVISOR)
        self._stopping_since = 0.0
        by_stage = attrgetter("stage")
        self._stages = [
            [Keeper(child, policy or RestartPolicy(), partial(log.line, child.name), self.say) for child in stage]
            for _, stage in groupby(sorted(children, key=by_stage), by_stage)
        ]

    async def start(self) -> None:
        """Start every child and wait until all are ready.

        Raises:
            StartFailed: one of them ended again and again; the others run until `stop`.
        """
        for keepers in self._stages:
            for keeper in keepers:
                keeper.start()
            try:
                async with asyncio.TaskGroup() as group:
                    for keeper in keepers:
                        group.create_task(self._ready(keeper))
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def stop(self) -> None:
        """Stop the children, the last stage first, those of a stage together."""
        for keepers in reversed(self._stages):
            await asyncio.gather(*(keeper.stop() for keeper in keepers))

    def kill(self) -> None:
        """Kill every child at once; `stop` has little left to wait for."""
        for keepers in self._stages:
            for keeper in keepers:
                keeper.kill()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run the children until SIGINT, SIGTERM or SIGHUP; another SIGINT kills what has not ended by then.

        Raises:
            StartFailed: one of the children ended again and again; all have been stopped.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in _STOP_SIGNALS:
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
            for signum in _STOP_SIGNALS:
                loop.remove_signal_handler(signum)

    def _on_signal(self, signum: signal.Signals, stopping: asyncio.Event) -> None:
        if not stopping.is_set():
            self.say(f"{signum.name}: stopping; Ctrl-C kills")
            self._stopping_since = time.monotonic()
            stopping.set()
        elif signum == signal.SIGINT and time.monotonic() - self._stopping_since > _SAME_SIGNAL:
            self.say("killing what is left")
            self.kill()

    async def _ready(self, keeper: Keeper) -> None:
        ready = asyncio.create_task(keeper.ready())
        try:
            while not (await asyncio.wait({ready}, timeout=_REMIND))[0]:
                self.say(f"{keeper.child.name} is not ready yet")
            await ready
        finally:
            ready.cancel()
