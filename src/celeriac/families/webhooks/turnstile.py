"""Spreads deliveries that come back to see whether their endpoint takes them by now.

Each return costs a worker some milliseconds. A thousand that wait for a dead endpoint, and return at once, would keep
the worker from the living ones.
"""

from __future__ import annotations

import time

#: Returns a second to one endpoint that a worker process arranges.
_MOST_A_SECOND = 10


class Turnstile:
    """Gives each delivery that goes away the time of its return. Those of one endpoint return one after the other."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def after(self, endpoint_id: str, seconds: float) -> float:
        """Return in how many seconds to return, no sooner than in so many."""
        now = time.monotonic()
        if len(self._last) > 1000:
            self._last = {one: last for one, last in self._last.items() if last > now}
        turn = max(now + seconds, self._last.get(endpoint_id, 0.0) + 1 / _MOST_A_SECOND)
        self._last[endpoint_id] = turn
        return turn - now
