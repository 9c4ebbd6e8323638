"""Tells how far a run is: rows, their rate, and when it will be done."""

from __future__ import annotations

from celeriac.core.context import JobContext
from celeriac.core.remaining import Rate


class Teller:
    """Reports the progress of a job."""

    def __init__(self, job: JobContext, left: int, before: int = 0) -> None:
        """`left` is the number of rows that this process has before it. Others have done some `before`."""
        self._job = job
        self._before = before
        self._total = before + left
        self._rate = Rate("rows")
        self._rate.go_on(before)

    def __call__(self, done: int) -> None:
        """Take note of the rows that this process has done."""
        done += self._before
        self._job.progress(done, max(self._total, done), self._rate.see(done, self._total))
