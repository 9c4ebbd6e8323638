"""Records are turned round at once if they have the same fields. That gives the same as asking them one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.families.sync.by_field import ByField, turned
from celeriac.families.sync.columns import Known
from celeriac.families.sync.errors import SchemaStopped
from celeriac.families.sync.model import Stream
from celeriac.families.sync.pages import Record
from celeriac.families.sync.shaping import Shaped, Shaper

_NAMES = ("id", "a", "b", "a.b", "nested")
_PATHS = (*_NAMES, "nested.a", "nested.a.b", "other")
_plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3) | st.decimals()
_values = _plain | st.lists(_plain, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), _plain, max_size=2)


def _pages(names: Sequence[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Pages whose records have the same fields, each with values of one kind or of any."""
    kinds = [st.integers(0, 3), st.booleans(), st.floats(-9, 9), st.text("aü", max_size=3), _values]
    fields = st.fixed_dictionaries({name: st.sampled_from(kinds) for name in names})
    return fields.flatmap(lambda chosen: st.lists(st.fixed_dictionaries(chosen), max_size=6))


_alike = st.lists(st.sampled_from(_NAMES), unique=True, min_size=1).flatmap(_pages)
_any = st.lists(st.dictionaries(st.sampled_from(_NAMES), _values), max_size=6)


def _asked_one_by_one(records: Sequence[Record]) -> list[Record]:
    return [MappingProxyType(dict(record)) for record in records]


@given(_alike | _any)
def test_both_ways_give_the_same_values_of_each_field(records: list[dict[str, Any]]) -> None:
    fast, slow = ByField(records), ByField(_asked_one_by_one(records))
    assert list(fast.names) == list(slow.names) == list(dict.fromkeys(name for record in records for name in record))
    for path in _PATHS:
        assert list(map(repr, fast.named(path))) == list(map(repr, slow.named(path)))
        assert list(map(repr, fast.at(path))) == list(map(repr, slow.at(path)))


@given(st.lists(_alike | _any, min_size=1, max_size=3), st.sampled_from(["sqlite", "postgresql", "mysql"]))
def test_both_ways_give_the_same_rows(pages: list[list[dict[str, Any]]], dialect: str) -> None:
    fast, slow = _shaper(dialect), _shaper(dialect)
    for records in pages:
        assert _told(fast, records) == _told(slow, _asked_one_by_one(records))


def _shaper(dialect: str) -> Shaper:
    stream = Stream.model_validate({"name": "orders", "primary_key": "id", "columns": {"nested.a": "text"}})
    return Shaper(stream, dialect, Known([], {}, exists=False), ["id"])


def _told(shaper: Shaper, records: Sequence[Record]) -> str:
    try:
        shaped = shaper.shape(records)
    except SchemaStopped as error:
        return str(error)
    assert shaped.rows + shaped.superseded + len(shaped.rejected) == len(records)
    return _written(shaped)


def _written(shaped: Shaped) -> str:
    data, whole = [[*map(list, each)] for each in (shaped.data, shaped.whole)]
    refused = [(one.position, one.reason, dict(one.record)) for one in shaped.rejected]
    counted = (shaped.rows, shaped.superseded, list(shaped.positions), shaped.versions)
    return repr((shaped.columns, shaped.changes, data, whole, refused, counted))


@pytest.mark.parametrize(
    "records",
    [[], [{}], [{"a": 1}, {"b": 1}], [{"a": 1}, {"a": 1, "b": 2}], [{"a": 1}, defaultdict[str, int](int, b=1)]],
)
def test_only_plain_records_with_the_same_fields_are_turned_round(records: list[dict[str, Any]]) -> None:
    assert turned(records) is None


def test_records_whose_fields_come_in_another_order_are_turned_round_as_well() -> None:
    assert turned([{"a": 1, "b": 2}, {"b": 4, "a": 3}]) == {"a": (1, 3), "b": (2, 4)}
    assert turned([{"a": 1}, {"a": None}]) == {"a": [1, None]}
