"""What goes into the file of rows comes out again, with its types, and is counted and digested."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from celeriac.families.reports.errors import DataInvalid, DataTooLarge
from celeriac.families.reports.spool import Spool, SpoolLimits, SpoolWriter

LIMITS = SpoolLimits(rows=1000, cell=100)


class Colour(Enum):
    RED = "red"


def spooled(
    folder: Path, columns: Sequence[str], *batches: Sequence[Sequence[Any]], texts: str = "nothing", number: int = 0
) -> Spool:
    with SpoolWriter(folder / f"rows{number}", columns, LIMITS, texts=texts) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.finish()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["a", None, "ü"]),
        ("integer", [1, None, -(2**63)]),
        ("decimal", [1.5, None, 2.0]),
        ("decimal", [Decimal("1.50"), 3, 0.25]),
        ("decimal", [Decimal(2**63), 1]),
        ("boolean", [True, None, False]),
        ("date", [date(2026, 1, 31), None]),
        ("datetime", [datetime(2026, 1, 31, 12, 30, 1, 5), None]),
        ("datetime", [datetime(2026, 1, 31, 12, 30, tzinfo=UTC)]),
        ("time", [time(12, 30), time(12, 30, tzinfo=UTC)]),
    ],
)
def test_values_come_back_with_their_types(tmp_path: Path, kind: str, values: list[Any]) -> None:
    spool = spooled(tmp_path, ["x"], [(value,) for value in values])
    found = [value for (value,) in spool.rows()]
    assert spool.kinds == (kind,)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_duration_is_its_seconds(tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["x"], [(timedelta(hours=25),), (None,)])
    assert spool.kinds == ("duration",)
    assert list(spool.rows()) == [(90000.0,), (None,)]


def test_what_has_no_kind_is_text(tmp_path: Path) -> None:
    strange = [UUID(int=7), Colour.RED, [1, 2], "a\ud800b", 5, True, date(2026, 1, 31), 1.5]
    spool = spooled(tmp_path, ["x"], [(value,) for value in strange])
    assert spool.kinds == ("text",)
    assert [value for (value,) in spool.rows()] == [
        "00000000-0000-0000-0000-000000000007",
        "red",
        "[1, 2]",
        "a?b",
        "5",
        "True",
        "2026-01-31",
        "1.5",
    ]


def test_what_is_no_number_is_empty(tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["x"], [(float("nan"),), (Decimal("Infinity"),), (float("-inf"),), (1.0,), ("",)])
    assert [value for (value,) in spool.rows()] == [None, None, None, 1.0, None]
    assert spool.kinds == ("decimal",)


def test_bytes_are_refused_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="row 3, column x: the value is bytes"):
        spooled(tmp_path, ["x"], [("a",), ("b",)], [(b"c",)])


def test_a_value_without_a_text_of_its_own_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(
        DataInvalid, match="row 2, column b: the value is of type object, which has no text; give a text"
    ):
        spooled(tmp_path, ["a", "b"], [(1, "x"), (2, object())])


def test_a_row_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="row 2 has 3 values; there are 2 columns"):
        spooled(tmp_path, ["x", "y"], [(1, 2), (1, 2, 3)])


def test_more_than_is_allowed_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DataTooLarge, match=r"more than 1,000 rows; CELERIAC_REPORTS_MAX_ROWS"):
        spooled(tmp_path, ["x"], [(1,)] * 1001)
    with pytest.raises(DataTooLarge, match=r"row 2, column x: more than 100 characters; CELERIAC_REPORTS_MAX_CELL"):
        spooled(tmp_path, ["x"], [("a",), ("b" * 101,)], number=1)
    with pytest.raises(DataTooLarge, match="257 columns"):
        spooled(tmp_path, [str(n) for n in range(257)], number=2)


def test_every_column_has_a_name_of_its_own_in_one_line(tmp_path: Path) -> None:
    assert spooled(tmp_path, ["id", "id", "", "two\nlines"], [(1, 2, 3, 4)]).columns == (
        "id",
        "id 2",
        "column 3",
        "two lines",
    )


def test_the_digest_is_that_of_the_data_and_not_of_its_batches_alone(tmp_path: Path) -> None:
    rows = [(n, f"name {n}") for n in range(10)]
    one = spooled(tmp_path, ["id", "name"], rows, number=1)
    same = spooled(tmp_path, ["id", "name"], rows, number=2)
    other_value = spooled(tmp_path, ["id", "name"], [*rows[:9], (9, "other")], number=3)
    other_kind = spooled(tmp_path, ["id", "name"], [(str(n), name) for n, name in rows], number=4)
    other_name = spooled(tmp_path, ["id", "title"], rows, number=5)
    assert one.sha256 == same.sha256
    assert len({spool.sha256 for spool in (one, other_value, other_kind, other_name)}) == 4


def test_a_caller_may_want_another_kind(tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["a", "b", "c"], [("007", 1, "1.234,5"), ("12", 0, "2")])
    assert list(spool.rows(["text", "text", "decimal"])) == [("007", "1", Decimal("1234.5")), ("12", "0", Decimal(2))]
    assert list(spool.rows(["text", "boolean", "text"])) == [("007", True, "1.234,5"), ("12", False, "2")]


def test_a_value_that_is_not_of_the_kind_asked_for_is_named(tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["a"], [("1",), ("x",)])
    with pytest.raises(DataInvalid, match="row 2, column a: 'x' is not of the kind asked for"):
        list(spool.rows(["decimal"]))


def test_dates_in_text_are_dates_where_the_source_has_none(tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["day", "at"], [("2026-01-31", "2026-01-31T10:00")], texts="dates")
    assert spool.kinds == ("date", "datetime")
    assert list(spool.rows()) == [(date(2026, 1, 31), datetime(2026, 1, 31, 10))]
    assert list(spool.rows(["datetime", "text"])) == [(datetime(2026, 1, 31), "2026-01-31T10:00")]
