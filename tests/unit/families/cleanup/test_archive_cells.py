"""Values survive an archive: each comes back as it was, with its type."""

from __future__ import annotations

import csv
import gzip
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.families.cleanup.archives_cells import (
    kind_of_column,
    read_column,
    same_rows,
    same_values,
    write_column,
)
from celeriac.families.cleanup.archives_members import decode, pack
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused

EAST = timezone(timedelta(hours=5, minutes=45))
COLUMNS: dict[str, list[Any]] = {
    "text": ["a", "", None, r"\N", "\\", r"\\server\share", r"\integer:5", "a,b", 'say "x"', "two\r\nlines", "\r", " "],
    "integer": [0, -1, None, 2**70],
    "float": [0.1, -0.0, None, math.inf, -math.inf, math.nan, 5e-324],
    "decimal": [Decimal("1.10"), Decimal("1.1"), None, Decimal("NaN"), Decimal("-Infinity"), Decimal("1E+30")],
    "boolean": [True, False, None],
    "bytes": [b"", b"\x00\xff", None],
    "datetime": [
        datetime(2026, 11, 30, 1, 2, 3, 456),
        datetime(1, 1, 1),
        None,
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(2026, 1, 1, tzinfo=EAST),
    ],
    "date": [date(1, 1, 1), date(2026, 2, 28), None],
    "time": [time(1, 2, 3, 4), time(1, tzinfo=EAST), None],
    "duration": [timedelta(0), timedelta(days=-3, microseconds=7), None, timedelta.max, timedelta.min],
    "uuid": [UUID(int=7), None],
    "json": [{"a": [1, None, "\\x"]}, [1.5, "two"], None],
    "a mix, as SQLite allows": ["text", 1, 1.5, b"\x01", None, "\\", True, Decimal(1)],
}
_CELLS = st.text(st.sampled_from('a ,"\r\n\\\t\0ü')) | st.text(st.characters(codec="utf-8"))


def through(values: list[Any]) -> list[Any]:
    kind = kind_of_column(values)
    data = pack([write_column(values, kind)])
    member = Member("x.csv.gz", 0, len(data), len(values), "")
    return list(decode(None, member, data, [kind])[0])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_each_value_comes_back_as_it_was_and_as_what_it_was(values: list[Any]) -> None:
    for order in (values, values[::-1], [None, *values]):
        found = through(order)
        assert same_values(found, order)
        assert list(map(type, found)) == list(map(type, order))
        assert list(map(str, found)) == list(map(str, order))  # -0.0 is not 0.0, and 1.10 is not 1.1


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.none(), min_size=1))
def test_any_text_comes_back(values: list[str | None]) -> None:
    assert through(values) == values


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(_CELLS, min_size=n, max_size=n), max_size=4)))
def test_a_member_is_what_pythons_csv_writer_writes(rows: list[list[str]]) -> None:
    written = StringIO(newline="")
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    columns = list(zip(*rows, strict=True)) or [()]
    assert gzip.decompress(pack(columns)).decode() == written.getvalue()


def test_a_text_larger_than_what_csv_reads_by_default_comes_back() -> None:
    values = ['"' + "x" * 300_000, "y" * 200_000]
    assert through(values) == values


def test_a_column_of_nothing_but_null_comes_back() -> None:
    assert through([None, None]) == [None, None]


def test_subclasses_come_back_as_what_they_are_based_on() -> None:
    class Other(UUID):
        pass

    assert through([Other(int=1)]) == [UUID(int=1)]


@pytest.mark.parametrize("value", [object(), 1j, range(3)], ids=["object", "complex", "range"])
def test_what_cannot_be_written_without_loss_is_refused(value: object) -> None:
    with pytest.raises(ArchiveRefused, match=type(value).__name__):
        through([value])


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ArchiveRefused, match="no Unicode"):
        through(["\ud800"])


@pytest.mark.parametrize("cell", [r"\unknown:1", r"\x", r"\integer", r"\integer:one"])
def test_a_cell_that_nobody_wrote_is_an_error(cell: str) -> None:
    with pytest.raises(ValueError, match=r"begins with|invalid literal"):
        read_column([cell], kind_of_column([""]))


def test_a_member_that_lies_about_its_rows_is_damaged() -> None:
    data = pack([["1", "2"]])
    with pytest.raises(ArchiveDamaged, match="has 2 rows, and should have 3"):
        decode(None, Member("x", 0, len(data), 3, ""), data, [kind_of_column([1])])  # pyright: ignore[reportArgumentType]


def test_rows_with_nan_are_the_same_as_themselves() -> None:
    one, other = [(1, float("nan"), [float("nan")])], [(1, float("nan"), [float("nan")])]
    assert one != other
    assert same_rows(one, other)
    assert same_rows([(1, None)], [[1, None]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([(1, 2)], [(1, 3)]),
        ([(1, 2)], []),
        ([(1, float("nan"))], [(2, float("nan"))]),
        ([(1, float("nan"))], [(1, 0.0)]),
        ([(1, None)], [(1, "")]),
    ],
)
def test_other_rows_are_not_the_same(one: list[Any], other: list[Any]) -> None:
    assert not same_rows(one, other)
