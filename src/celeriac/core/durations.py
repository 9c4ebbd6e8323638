"""Durations as definitions write them: a number with a unit, such as `90d`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    WrapSerializer,
)

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
#: A context of pydantic's `model_dump`: durations are shown to people, who write `90d`.
AS_WRITTEN = {"durations": "as written"}
_LONGEST = timedelta(days=36_500)
_EXPECTED = "expected a number with a unit: 90d, 12h, 26w, 30min or 45s"


def parse(text: str) -> timedelta:
    """Read `90d`, `12h`, `26w`, `30min` or `45s`.

    Raises:
        ValueError: it is something else. The message has examples.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz").rstrip()
    seconds = _UNITS.get(text[len(number) :].strip())
    if not (number.isascii() and number.isdigit()) or seconds is None:
        raise ValueError(_EXPECTED)
    try:
        return timedelta(seconds=int(number) * seconds)
    except (OverflowError, ValueError):  # ValueError: more digits than Python reads
        raise ValueError(f"that is too long; {_EXPECTED}") from None


def _read(value: Any) -> Any:
    """Refuse a number without a unit: it would be days for one reader, and seconds for another."""
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):  # P90D is ISO 8601
        return value
    return parse(value if isinstance(value, str) else "")


def _bounded(value: timedelta) -> timedelta:
    """Check the bounds here: pydantic 2.9 cannot compare what it has not parsed itself with a bound of a field."""
    if value <= timedelta(0):
        raise ValueError(f"that is no time at all; {_EXPECTED}")
    if value > _LONGEST:
        raise ValueError(f"that is too long: {_LONGEST.days}d at most")
    return value


def _written(value: timedelta, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
    seconds = value.total_seconds()
    units = (unit for unit in ("d", "h", "min", "s") if info.context is AS_WRITTEN and seconds % _UNITS[unit] == 0)
    unit = next(units, None)
    return write(value) if unit is None else f"{seconds / _UNITS[unit]:.0f}{unit}"


#: More than nothing, and a hundred years at most. Programs are shown ISO 8601.
Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    AfterValidator(_bounded),
    WrapSerializer(_written, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
