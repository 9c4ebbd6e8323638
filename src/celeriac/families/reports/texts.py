"""Recognizes numbers and dates in columns of text, as CSV files, JSON and SQLite have them.

A column is recognized only if each of its texts fits. `007` is no number: its zeros would be lost. Neither is a day
that could be a month, such as `03/04/2026`, unless another row of the column decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

#: Longest text that may be a number or a date.
_LONGEST = 40
_MOST_DIGITS = 18
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")

Parse = Callable[[str], Any]


class Shape(NamedTuple):
    """A way to write values as text. `parse` raises ValueError for a text that does not fit.

    Attributes:
        kind: the kind of column that such texts make.
        parse: makes the value.
        wider: shapes that fit whatever this one fits, tried when a later text does not fit.
    """

    kind: str
    parse: Parse
    wider: tuple[Shape, ...] = ()


def _digits(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return text


def _whole(text: str) -> str:
    """The digits of a whole number without its sign. Zeros in front mean that it is no number, but a code."""
    if len(text) > 1 and text[0] == "0":
        raise ValueError(text)
    return _digits(text)


def parse_integer(text: str) -> int:
    """Read `-12`."""
    digits = _whole(text[1:] if text[:1] in ("-", "+") else text)
    if len(digits) > _MOST_DIGITS or text[0] == "+":
        raise ValueError(text)
    return int(text)


def _parse_decimal(text: str, point: str, group: str) -> Decimal:
    sign, rest = ("-", text[1:]) if text[:1] == "-" else ("", text)
    whole, found, fraction = rest.partition(point)
    first, *groups = whole.split(group)
    if groups and (not 1 <= len(first) <= 3 or any(len(part) != 3 for part in groups)):
        raise ValueError(text)
    digits = _whole(first) + "".join(map(_digits, groups))
    if found:
        fraction = _digits(fraction)
    if len(digits) + len(fraction) > _LONGEST:
        raise ValueError(text)
    return Decimal(f"{sign}{digits}{'.' if found else ''}{fraction}")


def parse_point(text: str) -> Decimal:
    """Read `1,234.56`."""
    if "e" in text or "E" in text:
        return _scientific(text)
    return _parse_decimal(text, ".", ",")


def parse_comma(text: str) -> Decimal:
    """Read `1.234,56`."""
    return _parse_decimal(text, ",", ".")


def _scientific(text: str) -> Decimal:
    """Read `1.5e-07`, as programs write it."""
    if not text.isascii() or "_" in text or len(text) > _LONGEST:
        raise ValueError(text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not value.is_finite() or abs(value.adjusted()) > 300:
        raise ValueError(text)
    return value


def parse_boolean(text: str) -> bool:
    """Read `true` or `false`."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)


def parse_date(text: str) -> date:
    """Read `2026-01-31`."""
    if len(text) != 10 or text[4] != "-":
        raise ValueError(text)
    return date.fromisoformat(text)


def parse_datetime(text: str) -> datetime:
    """Read `2026-01-31 12:30`, with seconds or a zone if they are there."""
    if len(text) < 16 or text[4] != "-" or text[10] not in "T ":
        raise ValueError(text)
    return datetime.fromisoformat(text)


def parse_time(text: str) -> time:
    """Read `12:30`, with seconds if they are there."""
    if len(text) < 5 or text[2] != ":":
        raise ValueError(text)
    return time.fromisoformat(text)


def _dated(separator: str, order: str) -> Parse:
    """Make a reader of dates whose parts stand in this order (`dmy`), with that separator between them."""

    def parse(text: str) -> date:
        parts = text.split(separator)
        if len(parts) != 3 or len(parts[2]) != 4 or not all(1 <= len(part) <= 4 for part in parts):
            raise ValueError(text)
        day, month, year = (int(_digits(parts[order.index(letter)])) for letter in "dmy")
        return date(year, month, day)

    return parse


_ISO = (Shape("date", parse_date), Shape("datetime", parse_datetime))
_POINT, _COMMA = Shape("decimal", parse_point), Shape("decimal", parse_comma)
_DOTTED = Shape("date", _dated(".", "dmy"))
_DAY_FIRST, _MONTH_FIRST = Shape("date", _dated("/", "dmy")), Shape("date", _dated("/", "mdy"))
_BOOLEAN = Shape("boolean", parse_boolean)


def _all_shapes(decimal_comma: bool) -> tuple[Shape, ...]:
    decimals = (_COMMA, _POINT) if decimal_comma else (_POINT, _COMMA)
    integer = Shape("integer", parse_integer, wider=decimals)
    return (integer, *decimals, _BOOLEAN, *_ISO, _DOTTED, _DAY_FIRST, _MONTH_FIRST)


class Guess:
    """The shapes that all texts of a column have fitted so far."""

    def __init__(self, texts: str, *, decimal_comma: bool = False) -> None:
        """`texts` is what they may stand for: `nothing`, `dates` or `all`."""
        self._alive: list[Shape] = []
        self._roots: tuple[Shape, ...] | None = None
        if texts == "dates":
            self._roots = _ISO
        elif texts == "all":
            self._roots = _all_shapes(decimal_comma)

    @property
    def shape(self) -> Shape | None:
        """The shape of the column; None: it is text, or empty, or ambiguous."""
        if _DAY_FIRST in self._alive and _MONTH_FIRST in self._alive:
            return None
        return self._alive[0] if self._alive else None

    @property
    def is_over(self) -> bool:
        """Whether the column is text for good."""
        return self._roots is None and not self._alive

    def see(self, texts: Sequence[str]) -> None:
        """Take further texts of the column into account."""
        for text in texts:
            if self.is_over:
                return
            if self._roots is not None:
                self._alive, self._roots = _fitting(self._roots, text), None
                if self._alive and self._alive[0].wider:
                    del self._alive[1:]  # whatever fits it also fits those
                continue
            fitting = _fitting(self._alive, text)
            if len(fitting) < len(self._alive) and self._alive[0].wider:
                fitting = _fitting(self._alive[0].wider, text)
            self._alive = fitting


def _fitting(shapes: Sequence[Shape], text: str) -> list[Shape]:
    if not text or len(text) > _LONGEST:
        return []
    found: list[Shape] = []
    for shape in shapes:
        try:
            shape.parse(text)
        except ValueError:
            continue
        found.append(shape)
    return found
