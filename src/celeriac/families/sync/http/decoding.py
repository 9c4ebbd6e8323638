"""JSON of others: whole numbers of any length stay exact, and records that no database could take are refused.

RFC 8259 leaves open what to do with much of it. What is decided here: docs/decisions/0027-sync.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import orjson

from celeriac.core.text import FAULT, not_unicode_at
from celeriac.families.sync.pages import Record, Refusal

#: orjson reads whole numbers beyond 64 bits as floats. Such a number has 20 letters or more of these.
_DIGITS = bytes(0x30 if chr(code) in "0123456789-" else 0x20 for code in range(256))
_LONG_NUMBER = b"0" * 20
_OBJECTS = frozenset({dict})
#: A value that is cut may end in a part of `false`, or of an escape such as `\\u00e9`.
_LONGEST_WORD = 7
#: How deep orjson writes what it was given, so that records are stored as they came.
_TOO_DEEP = "is nested deeper than 254 levels"


class NotJson(ValueError):
    """The text is no JSON. `is_cut` says whether it ends in the middle of a value."""

    def __init__(self, message: str, *, is_cut: bool) -> None:
        self.is_cut = is_cut
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value. Unless it `is_strict`, it may hold NaN and halves of surrogate pairs, which `examine` finds."""

    value: Any
    is_strict: bool = True


def decode(body: bytes) -> Decoded:
    """Read JSON in UTF-8.

    Raises:
        NotJson: it is none.
    """
    if _LONG_NUMBER not in body.translate(_DIGITS):
        try:
            return Decoded(orjson.loads(body))
        except orjson.JSONDecodeError:
            pass  # the standard library's parser takes more, and tells more
    try:
        text = body.decode("utf-8-sig")
        return Decoded(json.loads(text, parse_float=_exact_enough, parse_int=_whole), is_strict=False)
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8", is_cut=False) from None
    except RecursionError:
        raise NotJson("it is nested too deep", is_cut=False) from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos:,}", is_cut=_is_cut(error)) from None


def _is_cut(error: json.JSONDecodeError) -> bool:
    text = error.doc.rstrip()
    if error.msg.startswith("Unterminated string"):
        return True
    return not text or (error.pos > 0 and len(text) - error.pos < _LONGEST_WORD)


def _exact_enough(text: str) -> float | Decimal:
    """Return a float, or a decimal if that says something else."""
    number = float(text)
    exact = Decimal(text)
    return number if math.isinf(number) or Decimal(repr(number)) == exact else exact


class _TooLong:
    """Stands for a whole number of more digits than Python reads. Its record is refused, and not its page."""

    def __repr__(self) -> str:
        return "a number of thousands of digits"


def _whole(text: str) -> int | _TooLong:
    try:
        return int(text)
    except ValueError:
        return _TooLong()


@dataclass(frozen=True, slots=True)
class Examined:
    """What is on a page: records, and what is none. The same items have the same `digest` in this process."""

    records: Sequence[Record]
    refused: list[Refusal]
    digest: int
    positions: Sequence[int] = ()


def examine(items: list[Any], start: int = 0, *, is_strict: bool = True) -> Examined:
    """Divide the items of a page into records and what is none. `start` is the position of the first."""
    try:
        content = orjson.dumps(items)
    except TypeError:  # some hold what it does not write
        content = b""
    if content and is_strict and set(map(type, items)) <= _OBJECTS:
        return Examined(items, [], hash(content), range(start, start + len(items)))
    records: list[Record] = []
    positions: list[int] = []
    refused: list[Refusal] = []
    for position, item in enumerate(items, start):
        why = _why_refused(item)
        if why is None:
            records.append(item)
            positions.append(position)
        else:
            refused.append(Refusal(why, item, position))
    return Examined(records, refused, hash(repr(items)), positions)


def _why_refused(item: Any) -> str | None:
    if not isinstance(item, dict):
        return "is no object"
    try:
        orjson.dumps(item, default=_number)
    except TypeError as error:
        if "ecursion" in str(error):
            return _TOO_DEEP
        if not_unicode_at(item) is not None:
            return FAULT
        # what is left is whole numbers beyond 64 bits, or of too many digits
    return _odd_number(item)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError


def _odd_number(value: Any) -> str | None:
    todo = [value]
    while todo:
        found = todo.pop()
        if isinstance(found, _TooLong):
            return "has a whole number of thousands of digits"
        if isinstance(found, float):
            if not math.isfinite(found):
                return "has NaN or Infinity, which JSON has no numbers for"
        elif isinstance(found, dict):
            todo += cast("dict[str, Any]", found).values()
        elif isinstance(found, list):
            todo += cast("list[Any]", found)
    return None
