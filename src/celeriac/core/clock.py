"""Converts times to and from whole milliseconds since the epoch (UTC), which the engine uses."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def to_datetime(ms: int) -> datetime:
    """Convert milliseconds since the epoch to an aware UTC datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Convert an aware datetime to milliseconds since the epoch.

    Raises:
        ValueError: `moment` has no time zone, so it is ambiguous.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous; use datetime.now(UTC) or add tzinfo")
    return int(moment.timestamp() * 1000)
