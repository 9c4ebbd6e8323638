"""Measuring on a busy machine: seconds in which this process could run, beside seconds that passed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

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
