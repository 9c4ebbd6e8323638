"""Columns of text that stand for numbers and dates, and those that must not be taken for them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from celeriac.families.reports.texts import Guess


def read(*texts: str, comma: bool = False, what: str = "all") -> list[Any]:
    guess = Guess(what, decimal_comma=comma)
    for text in texts:
        guess.see([text])
    shape = guess.shape
    return list(texts) if shape is None else [shape.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "2.50"], [Decimal(1), Decimal("2.50")]),
        (["1,234.56", "-7.1"], [Decimal("1234.56"), Decimal("-7.1")]),
        (["1.234,56", "7,1", "3"], [Decimal("1234.56"), Decimal("7.1"), Decimal(3)]),
        (["1.5e-07", "2"], [Decimal("1.5e-07"), Decimal(2)]),
        (["true", "False"], [True, False]),
        (["2026-01-31"], [date(2026, 1, 31)]),
        (
            ["2026-01-31 12:30", "2026-01-31T12:30:01.5"],
            [datetime(2026, 1, 31, 12, 30), datetime(2026, 1, 31, 12, 30, 1, 500_000)],
        ),
        (["31.01.2026", "1.2.2026"], [date(2026, 1, 31), date(2026, 2, 1)]),
        (["01/02/2026", "31/01/2026"], [date(2026, 2, 1), date(2026, 1, 31)]),
        (["01/02/2026", "01/31/2026"], [date(2026, 1, 2), date(2026, 1, 31)]),
    ],
)
def test_texts_that_all_fit_are_values(texts: list[str], values: list[Any]) -> None:
    found = read(*texts)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    "texts",
    [
        ["007", "12"],  # codes, whose zeros count
        ["01067"],
        ["12", "12a"],
        ["03/04/2026", "05/06/2026"],  # day or month?
        ["2026-02-30"],
        ["2026-01-31", "12"],
        ["+49123"],
        ["1,23,456.0"],
        ["٣"],  # a digit of another script
        ["1_000"],
        ["nan"],
        ["1e999"],
        ["1" * 41],
        ["yes", "no"],
        ["-"],
        ["."],
    ],
)
def test_texts_of_which_one_does_not_fit_stay_as_they_are(texts: list[str]) -> None:
    assert read(*texts) == texts


def test_a_semicolon_between_cells_makes_a_comma_decimal() -> None:
    assert read("1.234", comma=False) == [Decimal("1.234")]
    assert read("1.234", comma=True) == [Decimal(1234)]


def test_only_dates_are_looked_for_where_numbers_have_a_type_of_their_own() -> None:
    assert read("12", what="dates") == ["12"]
    assert read("2026-01-31", what="dates") == [date(2026, 1, 31)]
    assert read("2026-01-31", what="nothing") == ["2026-01-31"]
