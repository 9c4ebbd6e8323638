"""Tells how far a run is: records, their rate, and when it ends, where that can be known."""

from __future__ import annotations

import time
from collections.abc import Callable

from celeriac.core.context import JobContext
from celeriac.core.remaining import Rate
from celeriac.families.sync.counts import Counts

#: How often at most a run says how far it is, in seconds.
_EVERY_S = 0.1


class Progress:
    """The progress of one attempt. A source does not tell how many records it has: the last pass is a good guess."""

    def __init__(self, job: JobContext, expected: dict[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        """`expected` has the records that streams had the last time they were read as a whole."""
        self._job = job
        self._expected = expected
        self._clock = clock
        self._rate = Rate("records", clock)
        self._next = 0.0
        self._counts: dict[str, Counts] = {}

    def begin(self, stream: str, counts: Counts) -> None:
        """A stream goes on after so many records."""
        self._counts[stream] = counts
        self._rate.go_on(self._done)

    def see(self, stream: str, counts: Counts) -> None:
        """Report what a stream has counted so far."""
        self._counts[stream] = counts
        if self._clock() >= self._next:
            self._next = self._clock() + _EVERY_S
            self.report(stream)

    def report(self, stream: str) -> None:
        """Report now."""
        done = self._done
        total = self._total(done)
        told = self._rate.see(done, total)
        pages = self._counts[stream].pages
        self._job.progress(done, total, f"{stream}: {pages:,} {'page' if pages == 1 else 'pages'}, {told}")

    @property
    def _done(self) -> int:
        return sum(each.received for each in self._counts.values())

    def _total(self, done: int) -> int | None:
        """How many records there will be, if each stream has been read as a whole before."""
        if not self._expected:
            return None
        total = sum(max(count, self._counts.get(name, Counts()).received) for name, count in self._expected.items())
        return max(total, done)
