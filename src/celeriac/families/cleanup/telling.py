"""Tells how far a run is: rows, their rate, and when it will be done."""

from __future__ import annotations

from celeriac.core.context import JobContext
from celeriac.core.remaining import Rate


class Teller:
    """Reports the progress of a job."""

    def __init__(self, job: JobContext, total: int) -> None:
        """`total` is the number of rows that this process has before it."""
        self._job = job
        self._total = total
        self._rate = Rate("rows")

    def __call__(self, done: int) -> None:
        """Take note of the rows that are done."""
        self._job.progress(done, max(self._total, done), self._rate.see(done, self._total))
