"""Tasks one of which may be what ends their workers.

A worker that vanishes takes along all that it runs, and all of it counts a loss, although one task may have been the
cause. Would the same tasks meet again and again, they would be given up together. So those that were lost several times
run one at a time in each worker: the guilty one is lost alone, and the others are innocent once they have ended.
"""

from __future__ import annotations

from celeriac.core.clock import now_ms
from celeriac.core.inbound import Arrival

#: Losses from which on a task is suspected: fewer than those after which it is given up, and more than bad luck brings.
_LOSSES = 3
#: Milliseconds before one that has to wait tries again, and at least between two that do.
_PAUSE, _EACH = 250, 50


def is_suspect(arrival: Arrival) -> bool:
    """Whether the message's task was lost with so many workers that it may be why they vanished."""
    return arrival.properties["delivery_info"].get("celeriac_losses", 0) >= _LOSSES


class Suspects:
    """Lets one of them run at a time."""

    def __init__(self) -> None:
        self._running = ""
        self._last_comeback = 0

    def admits(self, receipt: str) -> bool:
        """Whether it may run now, which nobody else may then until it has ended."""
        if self._running:
            return False
        self._running = receipt
        return True

    def comeback(self) -> int:
        """When one that was not admitted should try again, in ms since the epoch."""
        self._last_comeback = max(now_ms() + _PAUSE, self._last_comeback + _EACH)
        return self._last_comeback

    def ended(self, receipt: str) -> None:
        """A message is held no more."""
        if receipt == self._running:
            self._running = ""
