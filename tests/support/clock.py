"""Time on a busy machine: seconds in which this process could run, and an event loop that need not wait for any."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

_BEAT = 0.005
#: What a beat counts at most (s). A longer one means that the machine was busy with other processes.
_LONGEST_BEAT = 0.02


class FairClock:
    """Counts the seconds in which a thread of this process got the processor.

    On an idle machine it keeps pace with the wall clock. It stands still while other processes have all cores,
    but not while this process waits or an event loop of it is blocked.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="fair clock", daemon=True)
        self._thread.start()

    def __call__(self) -> float:
        """Seconds since the start."""
        return self._seconds

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stopped.is_set():
            time.sleep(_BEAT)
            now = time.monotonic()
            self._seconds += min(now - last, _LONGEST_BEAT)
            last = now


@contextmanager
def fair_clock() -> Generator[FairClock]:
    """A clock for the length of a `with` block."""
    clock = FairClock()
    try:
        yield clock
    finally:
        clock.stop()


@asynccontextmanager
async def longest_gap(clock: FairClock) -> AsyncGenerator[list[float]]:
    """Measures for how many seconds of `clock` the event loop did nothing: the longest gap is the last item."""
    gaps = [0.0]

    async def beat() -> None:
        last = clock()
        while True:
            await asyncio.sleep(_BEAT)
            now = clock()
            gaps.append(max(gaps[-1], now - last))
            last = now

    heart = asyncio.create_task(beat())
    try:
        yield gaps
    finally:
        heart.cancel()
        await asyncio.wait({heart})


class JumpingClock:
    """The clock of an event loop that has nothing to wait for but its timers: it jumps to the next one.

    So timers run one after another, however late the process gets the processor. Without this, two that are near each
    other may be due in the same turn of the loop.
    """

    def __init__(self, loop: Any) -> None:
        self._now: float = loop.time()
        self._select = loop._selector.select
        loop.time = lambda: self._now
        loop._selector.select = self._jump

    def pass_by(self, seconds: float) -> None:
        """Let time pass, as code does that blocks the loop."""
        self._now += seconds

    def _jump(self, timeout: float | None = None) -> Any:
        if timeout:
            self._now += timeout
            timeout = 0
        return self._select(timeout)
