"""How fast work goes, and how long the rest of it takes, for people."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Weight of the newest step in the rate.
_NEWEST = 0.2


class Rate:
    """The rate of work: that of the last steps, rather than of the whole with its pauses."""

    def __init__(self, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`unit` is what is counted, such as rows."""
        self._unit = unit
        self._clock = clock
        self._done = 0
        self._at = clock()
        self._rate = 0.0

    def go_on(self, done: int) -> None:
        """So many were done before: they took no time of this work's."""
        self._done, self._at = done, self._clock()

    def see(self, done: int, total: int | None = None) -> str:
        """Take note that so many are done. Return them, with the rate and, if the total is known, the time left."""
        if done != self._done:
            now = self._clock()
            newest = (done - self._done) / max(now - self._at, 1e-6)
            self._rate = (1 - _NEWEST) * self._rate + _NEWEST * newest if self._rate else newest
            self._done, self._at = done, now
        told = f"{done:,} {self._unit}"
        if not self._rate:
            return told
        told += f", {self._rate:,.0f} {self._unit}/s"
        return told if total is None else f"{told}, {remaining(max(0, total - done) / self._rate)} left"


def remaining(seconds: float) -> str:
    """Return a length of time: `45 s`, `3 min 20 s` or `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
