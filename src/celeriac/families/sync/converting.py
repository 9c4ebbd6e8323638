"""Makes of the values of one column what the database's driver takes, or says why that cannot be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from uuid import UUID

import orjson

from celeriac.core import codec
from celeriac.families.sync.columns import Limit
from celeriac.families.sync.kinds import Kind, Unstorable, holds, kind_of, wider

_LEAST, _MOST = -(2**63), 2**63 - 1
_MYSQL = ("mysql", "mariadb")
_BOOL, _INT, _FLOAT, _STR = {bool}, {int}, {float}, {str}
_OBJECTS = {dict, list}
_NULL = type(None)


def widest(kind: Kind, dialect: str, *, is_key: bool = False) -> Limit:
    """Return the limit of the widest column of that kind; None: it has none."""
    if dialect not in _MYSQL:
        return None
    if kind is Kind.TEXT and is_key:
        return 255
    return (35, 30) if kind is Kind.NUMERIC else None  # that is DECIMAL(65, 30)


class TooNarrow(Exception):
    """The column has to be widened to `kind` first, with the greatest limit that this has."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        super().__init__(kind)


@dataclass(frozen=True, slots=True)
class Holder:
    """A column of a table, as far as values are concerned.

    Attributes:
        kind: what it holds.
        dialect: the database's.
        limit: what else it holds, see `Limit`.
        is_fixed: whether it may not be widened.
        is_array: whether lists become arrays of Postgres.
    """

    kind: Kind
    dialect: str
    limit: Limit = None
    is_fixed: bool = False
    is_array: bool = False

    def convert(self, values: Sequence[Any]) -> tuple[Sequence[Any], dict[int, str]]:
        """Return the values for the driver, and the reasons why some cannot be written, by their positions.

        Raises:
            TooNarrow: it has to be widened first.
        """
        if (converted := self._all(values)) is not None:
            return converted, {}
        found: list[Any] = []
        faults: dict[int, str] = {}
        for position, value in enumerate(values):
            try:
                found.append(None if value is None else self.one(value))
            except (Unstorable, ValueError, InvalidOperation, OverflowError, TypeError) as error:
                found.append(None)
                faults[position] = str(error)
        return found, faults

    def one(self, value: Any) -> Any:
        """Return one value for the driver.

        Raises:
            TooNarrow: the column has to be widened first.
            ValueError: it cannot be written; the message says why.
        """
        asked = kind_of(value)
        if self.is_fixed and asked is not self.kind:
            value, asked = _as_declared(self.kind, value, asked)
        if not holds(self.kind, asked, value):
            raise self._narrow(wider(self.kind, asked), value)
        if not self._is_within(value):
            is_widest = self.limit == widest(self.kind, self.dialect)
            raise self._narrow(Kind.TEXT if is_widest else self.kind, value)
        if self.is_array and isinstance(value, list):
            return self._checked(_array(cast("list[Any]", value)))
        return self._checked(_FOR_DRIVER[self.kind](value, self.dialect))

    def _narrow(self, kind: Kind, value: Any) -> Exception:
        if self.is_fixed:
            return Unstorable(f"{_shown(value)} does not fit its type, {self.kind}")
        return TooNarrow(kind)

    def _all(self, values: Sequence[Any]) -> Sequence[Any] | None:
        """Convert all values without a look at each, as almost all pages allow; None: one of them may not fit."""
        types, some = set(map(type, values)), values
        if _NULL in types:
            types.discard(_NULL)
            some = [value for value in values if value is not None]
        if not types or (types == _BOOL and self.kind is Kind.BOOLEAN):
            return values
        if types == _STR and self.kind is Kind.TEXT:
            return values if self._are_writable(some) else None
        if types == _INT and self.kind is Kind.INTEGER:
            most = self.limit if isinstance(self.limit, int) else _MOST
            return values if -most <= min(some) and max(some) <= most else None
        if types == _FLOAT and self.kind is Kind.DOUBLE:
            return values if math.isfinite(sum(some)) else None
        if types <= _OBJECTS and self.kind is Kind.JSON and (written := _dumped(some)) is not None:
            rest = iter(written)
            return written if some is values else [None if value is None else next(rest) for value in values]
        return None

    def _are_writable(self, some: Sequence[str]) -> bool:
        if isinstance(self.limit, int) and max(map(len, some)) > self.limit:
            return False
        joined = "".join(some)
        return (joined.isascii() and "\0" not in joined) or self._is_writable(joined)

    def _is_writable(self, text: str) -> bool:
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
        return self.dialect != "postgresql" or "\0" not in text

    def _is_within(self, value: Any) -> bool:
        if self.limit is None:
            return True
        if isinstance(self.limit, tuple):
            return self.kind is not Kind.NUMERIC or _fits(_exact(value), *self.limit)
        if self.kind is Kind.TEXT:
            return len(_text(value, self.dialect)) <= self.limit
        return self.kind is not Kind.INTEGER or abs(value) <= self.limit

    def _checked(self, value: Any) -> Any:
        if isinstance(value, str) and not self._is_writable(value):
            what = "a NUL" if "\0" in value else "a lone surrogate, which is no character"
            raise Unstorable(f"its text has {what}")
        if self.kind is Kind.JSON and self.dialect == "postgresql" and "\\u0000" in value and _has_nul(value):
            raise Unstorable("its text has a NUL")
        return value


def _as_declared(kind: Kind, value: Any, asked: Kind) -> tuple[Any, Kind]:
    """Read a value as the type that was declared for its column."""
    if kind is Kind.TIMESTAMP and asked is Kind.TEXT:
        return datetime.fromisoformat(value), kind
    if kind is Kind.DATE and asked is Kind.TEXT:
        return date.fromisoformat(value), kind
    if kind is Kind.NUMERIC and asked is Kind.TEXT:
        number = Decimal(value)
        return number, kind_of(number)
    if kind is Kind.DOUBLE and asked in (Kind.NUMERIC, Kind.INTEGER):
        return float(value), kind
    if kind is Kind.INTEGER and asked in (Kind.DOUBLE, Kind.NUMERIC) and value == int(value):
        return int(value), kind_of(int(value))
    return value, asked


def _exact(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)


def _fits(number: Decimal, whole: int, fraction: int) -> bool:
    _, digits, exponent = number.as_tuple()
    after = int(exponent)  # no NaN, which `kind_of` has refused
    return -after <= fraction and len(digits) + after <= whole


def _numeric(value: Any, dialect: str) -> Any:
    """SQLite has no exact type: what it would round is kept there as text."""
    if dialect != "sqlite":
        return _exact(value)
    if isinstance(value, Decimal):
        if value == value.to_integral_value() and _LEAST <= value <= _MOST:
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        return str(value)
    return value


def _text(value: Any, dialect: str = "") -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    return to_json(value)


def _array(values: list[Any]) -> str:
    """Write a list as Postgres writes arrays."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _array(cast("list[Any]", value))
    return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _json(value: Any, dialect: str) -> str:
    return to_json(value)


def _timestamp(value: datetime, dialect: str) -> Any:
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if dialect == "sqlite":
        return moment.isoformat(" ")
    return moment if dialect == "postgresql" else moment.replace(tzinfo=None)


def _date(value: date, dialect: str) -> Any:
    return value.isoformat() if dialect == "sqlite" else value


_FOR_DRIVER: dict[Kind, Callable[[Any, str], Any]] = {
    Kind.BOOLEAN: lambda value, dialect: value,
    Kind.INTEGER: lambda value, dialect: int(value),
    Kind.NUMERIC: _numeric,
    Kind.DOUBLE: lambda value, dialect: float(value),
    Kind.TEXT: _text,
    Kind.JSON: _json,
    Kind.TIMESTAMP: _timestamp,
    Kind.DATE: _date,
}


def to_json(value: Any) -> str:
    """Write a value as JSON. Integers keep all their digits.

    Raises:
        ValueError: a part of it is nothing that JSON has.
    """
    try:
        written = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
        if b"null" in written and (faults := codec.number_faults(value, codec.dumps(value))):
            raise ValueError(str(faults[0]))
        return written.decode()
    except TypeError as refused:  # an integer of more than 64 bits, or a lone surrogate
        try:
            return json.dumps(value, default=_plain, separators=(",", ":"), allow_nan=False)
        except (TypeError, RecursionError):
            raise ValueError(f"it cannot be written as JSON: {refused}") from None


def _dumped(values: Sequence[Any]) -> list[str] | None:
    """Write objects and lists; None: one of them needs a closer look."""
    try:
        written = list(map(bytes.decode, map(orjson.dumps, values)))
    except TypeError:
        return None
    together = "".join(written)
    return None if "null" in together or "\\u0000" in together else written


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value()
        return int(value) if whole else float(value) if Decimal(repr(float(value))) == value else str(value)
    raise TypeError(f"a {type(value).__name__}")


def _has_nul(encoded: str) -> bool:
    """Return whether a text in JSON has a NUL, and not just a backslash before `u0000`."""
    waiting = [json.loads(encoded)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and "\0" in part:
            return True
        if isinstance(part, dict):
            waiting.extend(part.keys())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            waiting.extend(part.values())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        elif isinstance(part, list):
            waiting.extend(part)  # pyright: ignore[reportUnknownArgumentType]
    return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
