"""Bounds what it costs to tell how far a mailing is: to count its recipients takes longer, the more there are."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

#: How many times as long as a count took nobody counts again.
_TIMES_AS_LONG = 9
_MOST = 1000


class Pace:
    """Lets one of all senders of a process tell of a mailing at a time, for a tenth of the time at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    async def tell(self, mailing_id: str, telling: Callable[[], Awaitable[None]]) -> None:
        """Call `telling`, unless it is being called for the same mailing, or was so a moment ago."""
        began = self._clock()
        if began < self._due.get(mailing_id, 0.0):
            return
        if len(self._due) > _MOST:
            self._due = {one: due for one, due in self._due.items() if due > began}
        self._due[mailing_id] = math.inf
        try:
            await telling()
        finally:
            ended = self._clock()
            self._due[mailing_id] = ended + _TIMES_AS_LONG * (ended - began)
