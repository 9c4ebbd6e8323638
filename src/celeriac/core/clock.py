"""Converts times to and from whole milliseconds since the epoch (UTC), which the engine uses."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import overload


def now_ms() -> int:
    """Return the milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@overload
def to_datetime(ms: int) -> datetime: ...
@overload
def to_datetime(ms: int | None) -> datetime | None: ...
def to_datetime(ms: int | None) -> datetime | None:
    """Convert milliseconds since the epoch to an aware UTC datetime. No time stays none."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def aware(moment: datetime) -> datetime:
    """Return a time with a time zone. One without is UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def read_moment(text: str) -> datetime | None:
    """Return the moment of an ISO timestamp or date, in UTC unless it has a zone; None if the text is neither."""
    if len(text) < 10 or text[4] != "-" or text[7] != "-":
        return None
    try:
        return aware(datetime.fromisoformat(text))
    except ValueError:
        return None


def to_ms(moment: datetime) -> int:
    """Convert an aware datetime to milliseconds since the epoch.

    Raises:
        ValueError: `moment` has no time zone, so it is ambiguous.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous; use datetime.now(UTC) or add tzinfo")
    return int(moment.timestamp() * 1000)
