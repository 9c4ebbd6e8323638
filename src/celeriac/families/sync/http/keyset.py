"""Keyset pagination: a page begins after the last record's values, and records with equal values may be a tie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, cast

import orjson
from pydantic import JsonValue

from celeriac.core.checks import shown
from celeriac.core.clock import read_moment
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.pagination_model import KeysetPagination
from celeriac.families.sync.http.paginator import Paginator, Question, Reply, Turn, ask_for_size, says_last, token_error
from celeriac.families.sync.http.paths import compile_path
from celeriac.families.sync.pages import Record

Values = list[Any]


class KeysetPaginator(Paginator):
    """Its token has the values of the last record. With an inclusive API, it also has what came with these values."""

    def __init__(self, model: KeysetPagination) -> None:
        self._model = model
        self.paths = [] if model.more is None else [model.more]

    def ask(self, question: Question, token: JsonValue) -> None:
        ask_for_size(question, self._model.size_param, self._model.size)
        if token is None:
            return
        after, _, offset = _read(token, len(self._model.fields))
        for param, value in zip(self._model.params, after, strict=True):
            question.params[param] = str(value)
        if offset and self._model.offset_param is not None:
            question.params[self._model.offset_param] = str(offset)

    def turn(self, token: JsonValue) -> Turn:
        if token is None:
            return _KeysetTurn(self._model, None, [], 0)
        return _KeysetTurn(self._model, *_read(token, len(self._model.fields)))


def _read(token: JsonValue, width: int) -> tuple[Values, list[str], int]:
    known = token if isinstance(token, dict) else {}
    after, seen, offset = known.get("after"), known.get("seen", []), known.get("offset", 0)
    if not (isinstance(after, list) and len(after) == width and isinstance(seen, list) and isinstance(offset, int)):
        raise token_error(token)
    return after, cast("list[str]", seen), offset


class _KeysetTurn(Turn):
    def __init__(self, model: KeysetPagination, after: Values | None, seen: list[str], offset: int) -> None:
        super().__init__()
        self._model = model
        self._paths = [compile_path(path) for path in model.fields]
        self._after = after
        self._seen = frozenset(seen)
        self._offset = offset
        self._last: Values | None = None
        #: Digests of the records of this page that have the last values.
        self._tied: list[str] = []

    def take(self, records: Sequence[Record]) -> Sequence[Record]:
        self.count += len(records)
        if not records:
            return records
        if not self._model.inclusive:
            for record in records:
                self._check_unique(self._values_of(record))
            return records
        return [record for record in records if self._is_fresh(record)]

    def _check_unique(self, values: Values) -> None:
        """
        Raises:
            SourceFailed: two records have the same values. A page that ends between such two would lose the second.
        """
        if values == self._last:
            raise SourceFailed(
                f"two records have the same {', '.join(self._model.fields)} ({self._shown(values)}), and a page that "
                "ends between two such records would lose the second: set inclusive: true if the API gives records "
                "from a value on (>=), or name another field besides"
            )
        if values == self._after:
            raise SourceFailed(
                f"the page after {self._shown(values)} has a record with these values: set inclusive: true"
            )
        self._last = values

    def _is_fresh(self, record: Record) -> bool:
        values = self._values_of(record)
        if values != self._last:
            self._last, self._tied = values, []
        digest = _digest(record)
        self._tied.append(digest)
        return not (values == self._after and digest in self._seen)

    def token(self, reply: Reply) -> JsonValue:
        model = self._model
        last = self._last
        if says_last(model.more, reply):
            return None
        if last is None:
            return self._after_none()
        if model.short_page_ends and model.size is not None and self.count < model.size:
            return None
        if self._after is not None:
            self._check_progress(self._after, last)
        if not model.inclusive:
            return {"after": last}
        if last != self._after:
            return {"after": last, "seen": cast("JsonValue", self._tied)}
        return self._inside_tie(last)

    def _after_none(self) -> None:
        """The page has no record: it is the last one, unless something else is on it."""
        if self.count:
            raise SourceFailed(
                f"none of the {self.count} items of a page can be read as a record, so that there are no "
                f"{', '.join(self._model.fields)} after which the next page begins"
            )

    def _inside_tie(self, last: Values) -> JsonValue:
        """All records of the page have the values of the last one before: the end, or a tie wider than a page."""
        model = self._model
        if model.size is None or self.count < model.size:
            return None
        if model.offset_param is None:
            raise SourceFailed(
                f"a whole page of {self.count} records has the same {', '.join(model.fields)} ({self._shown(last)}), "
                "so that the next page would be this one again: ask for larger pages (size), name another field "
                "besides, or an offset_param if the API has one"
            )
        return {"after": last, "offset": self._offset + self.count}

    def _check_progress(self, before: Values, last: Values) -> None:
        """
        Raises:
            SourceFailed: the page ends before the values after which it was asked for, or at them.
        """
        first, second = _comparable(before), _comparable(last)
        try:
            goes_on = second >= first if self._model.inclusive else second > first
        except TypeError:
            raise SourceFailed(
                f"{', '.join(self._model.fields)} has values of several types: "
                f"{self._shown(before)} and then {self._shown(last)}"
            ) from None
        if not goes_on:
            raise SourceFailed(
                f"the page after {self._shown(before)} ends at {self._shown(last)}: the API has to sort by "
                f"{', '.join(self._model.fields)} in ascending order, and to begin after the values that "
                f"{', '.join(self._model.params)} give"
            )

    def _values_of(self, record: Record) -> Values:
        values = [path.find(record) for path in self._paths]
        for path, value in zip(self._model.fields, values, strict=True):
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise SourceFailed(
                    f"a record has no text or number at {path!r}, by which pages are to be found: "
                    f"{shown(value) if value is None or isinstance(value, bool | dict | list) else 'nothing is there'}"
                )
        return values

    def _shown(self, values: Values) -> str:
        return ", ".join(map(shown, values))


def _digest(record: Record) -> str:
    try:
        content = orjson.dumps(record, option=orjson.OPT_SORT_KEYS, default=str)
    except TypeError:  # a whole number of more than 64 bits
        content = json.dumps(record, sort_keys=True, default=str).encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _comparable(values: Values) -> Any:
    """Return what to compare. Times may be written with several offsets. Texts are compared only if they are times.

    How a database sorts texts depends on its collation, so that their order says nothing here.
    """
    return [(read_moment(value) or _Unordered(value)) if isinstance(value, str) else value for value in values]


class _Unordered:
    """A text whose order is the server's business: it only differs."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unordered) and other._text == self._text

    __hash__ = None  # type: ignore[assignment]

    def __gt__(self, other: object) -> bool:
        if not isinstance(other, _Unordered):
            return NotImplemented
        return other._text != self._text

    def __ge__(self, other: object) -> bool:
        return True if isinstance(other, _Unordered) else NotImplemented
