"""When a delivery is tried again. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

#: The part of a delay by which it may be longer or shorter.
_JITTER = 0.1


def delay_after(tries: int, schedule: Sequence[float], *, asked: float | None = None) -> float | None:
    """Return the seconds until the next try after so many, or None if that was the last.

    Delays differ by up to a tenth, so that what failed together does not come back together. `asked` is what the
    receiver wants (`Retry-After`): the delay is no shorter.
    """
    if tries > len(schedule):
        return None
    delay = schedule[tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 (spreading, not secrecy)
    return max(delay, asked or 0.0)
