"""The kinds of columns: which one values ask for, and how one that is too narrow is widened.

A column of one kind is widened only to one that holds all its old values as well: integer → numeric → text. What JSON
calls an object or a list has the kind json, which holds any value; so does text, as JSON is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


class Kind(StrEnum):
    """What a column holds."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    """64 bits."""
    NUMERIC = "numeric"
    """Exact, of any size. On MySQL 35 digits before the point, and 30 after it."""
    DOUBLE = "double"
    TEXT = "text"
    JSON = "json"
    TIMESTAMP = "timestamp"
    """A moment, kept in UTC."""
    DATE = "date"


_LEAST, _MOST = -(2**63), 2**63 - 1
#: A double holds each integer up to here.
_EXACT = 2**53
_PLAIN: dict[type, Kind] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.DOUBLE,
    Decimal: Kind.NUMERIC,
    str: Kind.TEXT,
    UUID: Kind.TEXT,
    dict: Kind.JSON,
    list: Kind.JSON,
    tuple: Kind.JSON,
    datetime: Kind.TIMESTAMP,
    date: Kind.DATE,
}
_WIDER: dict[tuple[Kind, Kind], Kind] = {
    (Kind.INTEGER, Kind.NUMERIC): Kind.NUMERIC,
    (Kind.INTEGER, Kind.DOUBLE): Kind.NUMERIC,
    (Kind.DOUBLE, Kind.INTEGER): Kind.NUMERIC,
    (Kind.DOUBLE, Kind.NUMERIC): Kind.NUMERIC,
    (Kind.DATE, Kind.TIMESTAMP): Kind.TEXT,
}
_NUMBERS = {Kind.INTEGER, Kind.DOUBLE, Kind.NUMERIC}


class Unstorable(ValueError):
    """A value that no column can hold."""


def kind_of(value: Any) -> Kind:
    """Return the kind that a value asks for.

    Raises:
        Unstorable: it is none that JSON or a column has.
    """
    exactly: type = type(value)  # pyright: ignore[reportUnknownVariableType]
    kind = _PLAIN.get(exactly)
    if kind is None:
        kind = next((kind for base, kind in _PLAIN.items() if isinstance(value, base)), None)
    if kind is Kind.INTEGER and not _LEAST <= value <= _MOST:
        return Kind.NUMERIC
    if kind is Kind.DOUBLE and not math.isfinite(value):
        raise Unstorable(f"{value} is no number that JSON has")
    if kind is Kind.NUMERIC and not value.is_finite():
        raise Unstorable(f"{value} is no number that JSON has")
    if kind is None:
        raise Unstorable(f"a {type(value).__name__} is no value that a column can hold")
    return kind


def holds(kind: Kind, asked: Kind, value: Any) -> bool:
    """Return whether a column of one kind holds a value that asks for another, with nothing lost."""
    if kind is asked or kind in (Kind.TEXT, Kind.JSON):
        return True
    if kind is Kind.NUMERIC:
        return asked in _NUMBERS
    return kind is Kind.DOUBLE and asked is Kind.INTEGER and abs(value) <= _EXACT


def wider(kind: Kind, asked: Kind) -> Kind:
    """Return the kind that holds all values of both."""
    if kind is asked or kind in (Kind.TEXT, Kind.JSON):
        return kind
    if kind is Kind.NUMERIC and asked in _NUMBERS:
        return kind
    return _WIDER.get((kind, asked), Kind.TEXT)


def inferred(values: Iterable[Any]) -> Kind | None:
    """Return the kind of a column for these values; None if all are null. Leave out what cannot be stored."""
    found: Kind | None = None
    for value in values:
        if value is None:
            continue
        try:
            asked = kind_of(value)
        except Unstorable:
            continue
        if found is None:
            found = asked
        elif not holds(found, asked, value):
            found = wider(found, asked)
    return found
