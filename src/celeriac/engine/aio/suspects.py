"""Runs tasks that may have ended their workers one at a time, to find out which one is guilty.

When a worker vanishes, each message it held counts a loss, although one task may have been the cause. If the same tasks
met again and again, all would be given up together. So a worker runs only one task with several losses at a time. The
guilty one is then lost alone, and the others end and are cleared.
"""

from __future__ import annotations

from celeriac.core.clock import now_ms
from celeriac.core.inbound import Arrival

#: From how many losses on a task is suspect. More than bad luck brings, fewer than make it a dead letter.
_LOSSES = 3
#: After how long a suspect that was turned away comes back, and the least time between two that come back.
_PAUSE_MS, _EACH_MS = 250, 50


def is_suspect(arrival: Arrival) -> bool:
    """Return whether so many workers vanished with the message that its task may be the cause."""
    return arrival.properties["delivery_info"].get("celeriac_losses", 0) >= _LOSSES


class Suspects:
    """Admits one suspect at a time."""

    def __init__(self) -> None:
        self._running = ""
        self._last_comeback = 0

    def admits(self, receipt: str) -> bool:
        """Return whether this suspect may run now. If so, no other may until `ended` is called for it."""
        if self._running:
            return False
        self._running = receipt
        return True

    def comeback_ms(self) -> int:
        """Return when a suspect that was not admitted should come back, in ms since the epoch."""
        self._last_comeback = max(now_ms() + _PAUSE_MS, self._last_comeback + _EACH_MS)
        return self._last_comeback

    def ended(self, receipt: str) -> None:
        """Note that the worker does not hold the message any more."""
        if receipt == self._running:
            self._running = ""
