"""Makes values of what JSON kept of them, by the kind of their column or by the kind that a caller wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from celeriac.families.reports.errors import DataInvalid
from celeriac.families.reports.texts import Shape, parse_boolean, parse_comma, parse_point, parse_time

Reader = Callable[[Any], Any]


def reader_of(wanted: str, found: str, shape: Shape | None) -> Reader | None:
    """Return what makes a value of a stored one; None: they are the same."""
    if wanted == found:
        if shape is not None:
            return shape.parse
        return _STORED.get(found)
    if wanted == "text":
        return str
    convert = _FROM_TEXT[wanted]
    if shape is None:
        return convert
    return lambda text: convert(shape.parse(text))


def read(values: Sequence[Any], reader: Reader | None, first_row: int, name: str) -> Sequence[Any]:
    """Return the values of a column.

    Raises:
        DataInvalid: one is not of the kind asked for; the message names its row.
    """
    if reader is None:
        return values
    try:
        return [None if value is None else reader(value) for value in values]
    except (ValueError, TypeError, ArithmeticError):
        for row, value in enumerate(values, start=first_row):
            try:
                _ = None if value is None else reader(value)
            except (ValueError, TypeError, ArithmeticError):
                shown = str(value)[:40]
                raise DataInvalid(f"row {row:,}, column {name}: {shown!r} is not of the kind asked for") from None
        raise


def _number(value: Any) -> Any:
    return Decimal(value) if isinstance(value, str) else value


def _number_of(value: Any) -> Any:
    if not isinstance(value, str):
        return Decimal(value) if isinstance(value, bool) else value
    try:
        return parse_point(value)
    except ValueError:
        return parse_comma(value)


def _integer_of(value: Any) -> int:
    number = _number_of(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _boolean_of(value: Any) -> bool:
    if isinstance(value, str):
        return parse_boolean(value)
    if value in (0, 1):
        return bool(value)
    raise ValueError(value)


def _dated(value: Any, wanted: str) -> Any:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.date() if wanted == "date" else moment


_STORED: dict[str, Reader] = {
    "decimal": _number,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "time": time.fromisoformat,
    "text": str,
}
_FROM_TEXT: dict[str, Reader] = {
    **dict.fromkeys(("decimal", "money", "percent", "duration"), _number_of),
    "integer": _integer_of,
    "boolean": _boolean_of,
    "date": lambda value: _dated(value, "date"),
    "datetime": lambda value: _dated(value, "datetime"),
    "time": parse_time,
}
