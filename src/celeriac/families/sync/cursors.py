"""Compares the values of a cursor by what they are: numbers, moments in any time zone, or text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import JsonValue

from celeriac.core.clock import aware, read_moment
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.model import Stream
from celeriac.families.sync.pages import Page, Record
from celeriac.families.sync.paths import getter, has

#: How far our clock may be behind that of a source which does not tell its own.
_UNKNOWN_CLOCK_MS = 86_400_000
#: Fields of records that an error names.
_FIELDS_SHOWN = 20

Rank = tuple[str, Any]


class CursorWrong(ValueError):
    """A value cannot be a cursor's, or not beside the others. The message says why."""


def rank(value: Any) -> Rank:
    """Return what a value is, and something that compares with others of that kind.

    Raises:
        CursorWrong: it is neither a number, nor a moment, nor a text.
    """
    if isinstance(value, str):
        moment = read_moment(value)
        return ("text", value) if moment is None else ("moment", moment)
    if isinstance(value, datetime):
        return "moment", aware(value)
    if isinstance(value, date):
        return "moment", datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value == value:  # not NaN
        return "number", value
    raise CursorWrong(f"a {type(value).__name__} cannot be a cursor")


@dataclass(slots=True)
class Highest:
    """The greatest cursor of the records so far, as the source gave it."""

    value: JsonValue = None
    _rank: Rank | None = None

    def __post_init__(self) -> None:
        self._rank = None if self.value is None else rank(self.value)

    def see(self, value: Any, latest_ms: float) -> None:
        """Take account of one record's value. What lies after `latest_ms` moves nothing: it would hide records.

        Raises:
            CursorWrong: it does not compare with the others.
        """
        if value is None:
            return
        found = rank(value)
        if self._rank is not None and found[0] != self._rank[0]:
            raise CursorWrong(f"its cursor is a {found[0]}, and the others are of the kind {self._rank[0]}")
        if found[0] == "moment" and found[1].timestamp() * 1000 > latest_ms:
            return
        if self._rank is None or found[1] > self._rank[1]:
            self.value, self._rank = _stored(value), found


def judge(
    records: Sequence[Record], get: Callable[[Record], Any], highest: Highest, source_time_ms: int | None
) -> dict[int, str]:
    """Move `highest` over the records of a page. Return those that cannot be judged: their positions, and why."""
    # a source tells its time in whole seconds
    latest = time.time() * 1000 + _UNKNOWN_CLOCK_MS if source_time_ms is None else source_time_ms + 1000
    faults: dict[int, str] = {}
    values = [get(record) for record in records]
    if _sort_alike(values) and _is_between(max(values), highest, latest):
        return faults
    for position, value in enumerate(values):
        try:
            highest.see(value, latest)
        except CursorWrong as error:
            faults[position] = str(error)
    return faults


class CursorField:
    """The field of a stream's cursor. A misspelt one would have each run read all records, and never say so."""

    def __init__(self, stream: Stream) -> None:
        self._name, self._path = stream.name, stream.cursor
        self._get = getter(stream.cursor) if stream.cursor else None
        self._received = 0
        self._others = dict[str, None]()
        self._is_there = False

    def judge(self, page: Page, highest: Highest) -> Mapping[int, str]:
        """Do as `judge` does, if there is a cursor, and note whether records have it."""
        if self._path is None or self._get is None:
            return {}
        self._received += len(page.records) + len(page.refused)
        if not self._is_there:
            self._is_there = any(has(record, self._path) for record in page.records)
            self._others.update(dict.fromkeys(name for record in page.records for name in record))
        return judge(page.records, self._get, highest, page.source_time_ms)

    @property
    def fault(self) -> str:
        """What is wrong, if no record has it."""
        if self._is_there or not self._others:
            return ""
        return f"no record has the cursor {self._path!r}; they have {', '.join(list(self._others)[:_FIELDS_SHOWN])}"

    def check(self, received: int) -> None:
        """
        Raises:
            SourceFailed: of as many records, which are all of a pass, none has the field.
        """
        if self.fault and received == self._received:
            raise SourceFailed(f"stream {self._name}: {self.fault}; correct `cursor`, or leave it out")


def _sort_alike(values: Sequence[Any]) -> bool:
    """Return whether the greatest of the values is the greatest cursor: all are integers, or moments written alike."""
    types = set(map(type, values))
    if types == {int}:
        return True
    return types == {str} and len(set(map(len, values))) == 1 and {value[-1:] for value in values} == {"Z"}


def _is_between(value: Any, highest: Highest, latest_ms: float) -> bool:
    """Have `highest` see a value that stands for a page. Return False if the page needs a closer look."""
    before = highest.value
    try:
        highest.see(value, latest_ms)
    except CursorWrong:
        return False
    return highest.value is not before or (before is not None and rank(value)[1] <= rank(before)[1])


def later(one: JsonValue, other: JsonValue) -> JsonValue:
    """Return the later of two cursors; None is before all. If they do not compare, the source has changed: `other`."""
    if one is None or other is None:
        return other if one is None else one
    first, second = rank(one), rank(other)
    return one if first[0] == second[0] and first[1] >= second[1] else other


def less(value: JsonValue, lookback: float) -> JsonValue:
    """Return a cursor with the lookback taken off: seconds of a moment, else a number. Text has no distance."""
    if value is None or not lookback:
        return value
    kind, found = rank(value)
    if kind == "number":
        assert isinstance(value, int | float)
        return value - (int(lookback) if isinstance(value, int) and lookback == int(lookback) else lookback)
    if kind == "moment":
        return _earlier(str(value), found, lookback)
    return value


def _earlier(text: str, moment: datetime, lookback: float) -> str:
    try:
        before = moment - timedelta(seconds=lookback)
    except OverflowError:
        before = datetime.min.replace(tzinfo=UTC)
    if len(text) == len("2026-01-31"):
        return before.date().isoformat()
    zone = datetime.fromisoformat(text).tzinfo
    shown = (before if zone is None else before.astimezone(zone)).isoformat(text[10])
    return f"{shown[:-6]}Z" if text.endswith("Z") else shown[:-6] if zone is None else shown


def _stored(value: Any) -> JsonValue:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
