"""Tells how far a run is: rows, their rate, and when it will be done."""

from __future__ import annotations

import time

from celeriac.core.context import JobContext

#: Weight of the newest rate. The rate is that of the last chunks, rather than of the whole run with its pauses.
_NEWEST = 0.2


class Teller:
    """Reports the progress of a job."""

    def __init__(self, job: JobContext, total: int) -> None:
        """`total` is the number of rows that this process has before it."""
        self._job = job
        self._total = total
        self._done = 0
        self._at = time.monotonic()
        self._rate = 0.0

    def __call__(self, done: int) -> None:
        """Take note of the rows that are done."""
        now = time.monotonic()
        rate = (done - self._done) / max(now - self._at, 1e-6)
        self._rate = rate if not self._rate else (1 - _NEWEST) * self._rate + _NEWEST * rate
        self._done, self._at = done, now
        self._job.progress(done, max(self._total, done), self._text())

    def _text(self) -> str:
        left = max(0, self._total - self._done)
        if not self._rate:
            return f"{self._done:,} rows"
        return f"{self._done:,} rows, {self._rate:,.0f} rows/s, {shown(left / self._rate)} left"


def shown(seconds: float) -> str:
    """Return a length of time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
