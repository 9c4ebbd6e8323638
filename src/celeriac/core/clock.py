"""Time as the engine counts it: whole milliseconds since the epoch, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def to_datetime(ms: int) -> datetime:
    """`ms` since the epoch as an aware UTC datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """An aware datetime as milliseconds since the epoch.

    Raises:
        ValueError: `moment` has no time zone, so it does not name one instant.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous; use datetime.now(UTC) or add tzinfo")
    return int(moment.timestamp() * 1000)
