"""JSON of others: whole numbers of any length stay exact, and records that no database could take are refused.

RFC 8259 leaves open what to do with much of it. What is decided here: docs/decisions/0027-sync.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
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
_MOST_LEVELS = 254
_TOO_DEEP = f"is nested deeper than {_MOST_LEVELS} levels"
#: How deep a body is read. What is deeper is left out: records keep enough of it to be refused.
DEEPEST = 2 * _MOST_LEVELS
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[\[{\]}]', re.DOTALL)


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
    """Read JSON in UTF-8. Of a body that is nested too deep for a parser, read what is not.

    Raises:
        NotJson: it is none.
    """
    try:
        return _decode(body)
    except RecursionError:
        pass
    try:
        return _decode(_without_depths(body))
    except RecursionError:
        raise NotJson("it is nested too deep", is_cut=False) from None


def _decode(body: bytes) -> Decoded:
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
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos:,}", is_cut=_is_cut(error)) from None


def _without_depths(body: bytes) -> bytes:
    """Return JSON with null in place of all lists and objects that are nested too deep."""
    kept = bytearray()
    depth = end = 0
    for found in _STRING_OR_BRACKET.finditer(body):
        mark = body[found.start()]
        if mark in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += body[end : found.start()] + b"null"
        elif mark in b"]}":
            depth -= 1
            if depth == DEEPEST:
                end = found.end()
    return bytes(kept if depth > DEEPEST else kept + body[end:])


def _is_cut(error: json.JSONDecodeError) -> bool:
    text = error.doc.rstrip()
    if error.msg.startswith("Unterminated string"):
        return True
    return not text or (error.pos > 0 and len(text) - error.pos < _LONGEST_WORD)


def _exact_enough(text: str) -> float | Decimal:
    """Return a float, or a decimal if that says something else. What is too large or too small for one is none."""
    number = float(text)
    if math.isinf(number) or not number:
        return number
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact


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
    seen: list[Any] = []
    for position, item in enumerate(items, start):
        why = _why_refused(item)
        if why is None:
            records.append(item)
            positions.append(position)
        else:
            refused.append(Refusal(why, _top_of(item), position))
        seen.append(item if why is None else refused[-1].record)
    return Examined(records, refused, hash(repr(seen)), positions)


def _why_refused(item: Any) -> str | None:
    if not isinstance(item, dict):
        return "is no object"
    why = _fault_in(item)
    if why is None and not_unicode_at(item) is not None:
        return FAULT
    return why


def _fault_in(value: Any) -> str | None:
    todo = [(value, 1)]
    fault: str | None = None
    while todo:
        found, level = todo.pop()
        if isinstance(found, _TooLong):
            fault = fault or "has a whole number of thousands of digits"
        elif isinstance(found, float):
            if not math.isfinite(found):
                fault = fault or "has NaN or Infinity, which JSON has no numbers for"
        elif isinstance(found, dict | list):
            if level > _MOST_LEVELS:
                return _TOO_DEEP
            todo += [(part, level + 1) for part in _parts(found)]
    return fault


def _parts(value: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)


def _top_of(value: Any) -> Any:
    """Return a value without what is nested too deep: whoever shows it would fail."""
    top: list[Any] = [value]
    todo: list[tuple[Any, int]] = [(top, 0)]
    while todo:
        outer, level = todo.pop()
        for place, inner in _placed(outer):
            if isinstance(inner, dict | list):
                copied = _copied(inner) if level < _MOST_LEVELS else None
                outer[place] = copied
                if copied is not None:
                    todo.append((copied, level + 1))
    return top[0]


def _copied(value: Any) -> Any:
    return dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else list(cast("list[Any]", value))


def _placed(value: Any) -> list[tuple[Any, Any]]:
    return list(
        cast("dict[str, Any]", value).items() if isinstance(value, dict) else enumerate(cast("list[Any]", value))
    )
