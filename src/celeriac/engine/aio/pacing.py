"""When tasks that found no room are tried again."""

from __future__ import annotations

from celeriac.core.clock import now_ms

#: Milliseconds before the first of them comes back, and between two of them: each time costs the broker a little.
_FIRST = 500
_EACH = 10


class Comebacks:
    """Gives each its own time, however many there are: a hundred a second are tried."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """When the next one is due, in ms since the epoch."""
        self._last = max(now_ms() + _FIRST, self._last + _EACH)
        return self._last
