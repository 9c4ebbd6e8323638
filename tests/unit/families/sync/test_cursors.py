"""Values of cursors compare by what they are."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from celeriac.families.sync.cursors import CursorWrong, Highest, judge, later, less, rank

FAR = 10**15
NOON_MS = round(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    "ascending",
    [
        [-1, 0, 1.5, 2, Decimal("2.5"), 10, 2**70],
        ["2026-01-01", "2026-01-01T01:00:00+00:30", "2026-01-01T01:00:00Z", "2026-01-01T01:00:00.000001Z"],
        ["2026-01-01T23:00:00-02:00", "2026-01-02T02:00:00"],
        ["a", "b", "ba", "c"],
        [datetime(2026, 1, 1), datetime(2026, 1, 1, 1, tzinfo=UTC), "2026-01-01T02:00:00Z"],
    ],
)
def test_values_are_ordered_by_what_they_are(ascending: list[Any]) -> None:
    ranks = [rank(value) for value in ascending]
    assert len({kind for kind, _ in ranks}) == 1
    assert [value for _, value in ranks] == sorted(value for _, value in ranks)
    for one, other in itertools.pairwise(ascending):
        if not isinstance(one, datetime | Decimal) and not isinstance(other, datetime | Decimal):
            assert later(one, other) == later(other, one) == other


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, float("nan"), b"x"])
def test_what_cannot_be_a_cursor_is_refused(value: Any) -> None:
    with pytest.raises(CursorWrong, match="cannot be a cursor"):
        rank(value)


def highest_of(values: list[Any], source_time_ms: int | None = FAR, start: Any = None) -> tuple[Any, dict[int, str]]:
    highest = Highest(start)
    faults = judge([{"c": value} for value in values], lambda record: record["c"], highest, source_time_ms)
    return highest.value, faults


@pytest.mark.parametrize(
    ("values", "greatest"),
    [
        ([3, 1, 2], 3),
        ([], None),
        ([None, None], None),
        ([None, 5, None], 5),
        (["2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z", "2026-01-01T02:00:00Z"], "2026-01-01T03:00:00Z"),
        (["2026-01-01T01:00:00Z", "2026-01-01T00:30:00-05:00"], "2026-01-01T00:30:00-05:00"),
        (["2026-01-01T01:00:00Z", "2026-01-01T01:00:00.500Z"], "2026-01-01T01:00:00.500Z"),
    ],
)
def test_the_greatest_of_a_page_is_found_in_any_order(values: list[Any], greatest: Any) -> None:
    assert highest_of(values) == (greatest, {})
    assert highest_of(values[::-1]) == (greatest, {})


def test_a_page_that_has_nothing_greater_moves_nothing() -> None:
    assert highest_of([1, 2], start=7) == (7, {})
    assert highest_of(["2026-01-01T01:00:00Z"], start="2026-01-01T02:00:00Z") == ("2026-01-01T02:00:00Z", {})


def test_moments_after_the_time_of_the_source_move_nothing() -> None:
    values = ["2026-01-01T11:00:00Z", "2026-01-01T13:00:00Z", "2026-01-01T12:00:00Z"]
    assert highest_of(values, NOON_MS) == ("2026-01-01T12:00:00Z", {})
    assert highest_of(["9999-12-31T00:00:00Z"], NOON_MS) == (None, {})
    assert highest_of(["9999-12-31T00:00:00Z"], None) == (None, {})


def test_a_value_of_another_kind_is_a_fault_of_its_record() -> None:
    greatest, faults = highest_of([1, "x", 3, True])
    assert greatest == 3
    assert list(faults) == [1, 3]
    assert faults[1] == "its cursor is a text, and the others are of the kind number"


@pytest.mark.parametrize(
    ("value", "lookback", "before"),
    [
        (10, 3, 7),
        (10, 0.5, 9.5),
        (None, 3, None),
        ("text", 3, "text"),
        ("2026-01-01T10:00:00Z", 3600, "2026-01-01T09:00:00Z"),
        ("2026-01-01T10:00:00+02:00", 3600, "2026-01-01T09:00:00+02:00"),
        ("2026-01-01 10:00:00", 60, "2026-01-01 09:59:00"),
        ("2026-01-10", 86_400, "2026-01-09"),
        ("0001-01-01T00:00:01Z", 3600, "0001-01-01T00:00:00Z"),
    ],
)
def test_a_lookback_keeps_the_form_of_the_source(value: Any, lookback: float, before: Any) -> None:
    assert less(value, lookback) == before
