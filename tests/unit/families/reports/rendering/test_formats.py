"""Numbers, dates and periods as the locale writes them; key figures as the data has them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from babel import numbers
from hypothesis import given
from hypothesis import strategies as st

from celeriac.families.reports.rendering import Column
from celeriac.families.reports.rendering.figures import figures_of
from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.periods import length_for, next_start, start_of
from celeriac.families.reports.rendering.summary import Summary
from tests.support.reports import Table, layout, sales

LOCALES = {name: Formats(name, "UTC") for name in ("en", "de", "fr", "ja", "ar", "de-CH", "sv", "hi")}


@given(st.sampled_from(sorted(LOCALES)), st.decimals(-(10**12), 10**12, allow_nan=False, places=4))
def test_numbers_are_written_as_babel_writes_them(name: str, value: Decimal) -> None:
    formats = LOCALES[name]
    if round(value, 2) == 0:
        return  # Babel writes -0.00
    pattern = "#,##,##0.00" if name == "hi" else "#,##0.00"
    minus = numbers.get_minus_sign_symbol(formats.locale, numbering_system="default")
    expected = numbers.format_decimal(value, pattern, formats.locale, numbering_system="default")
    written = formats.number(value, 2)
    # Babel writes the minus of ASCII, and takes two of Switzerland's apostrophes for quotes, which it leaves out.
    assert written.replace("'", "") == expected.replace("-", minus).replace("'", "")


def test_swiss_numbers_have_all_their_apostrophes() -> None:
    written = LOCALES["de-CH"].number(Decimal("1234567.5"), 2)
    assert written.replace("\u2019", "'") == "1'234'567.50"  # Babel before 2.19 has the other apostrophe


def test_digits_are_those_of_the_locale() -> None:
    formats = Formats("ar-EG", "Africa/Cairo")
    assert formats.number(-1234.5, 1) == "\u061c-١٬٢٣٤٫٥"  # noqa: RUF001
    assert formats.day(date(2026, 1, 2)) == "٠٢\u200f/٠١\u200f/٢٠٢٦"  # noqa: RUF001
    assert formats.percent(0.5, 0) == "٥٠٪\u061c"  # noqa: RUF001


def test_an_id_is_no_amount() -> None:
    cell = LOCALES["en"].cell(Column("order_id", kind="integer"))
    assert cell(1234567) == "1234567"
    assert LOCALES["en"].cell(Column("year", kind="integer"))(2026) == "2026"
    assert LOCALES["en"].cell(Column("orders", kind="integer"))(2026) == "2,026"


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.sampled_from(["day", "week", "month", "quarter", "year"]))
def test_each_day_is_in_one_period(day: date, length: str) -> None:
    start = start_of(day, length)  # type: ignore[arg-type]
    assert start <= day < next_start(start, length)  # type: ignore[arg-type]
    assert start_of(next_start(start, length), length) == next_start(start, length)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "length"),
    [
        ([date(2026, 1, 1) + timedelta(n) for n in range(20)], "day"),
        ([date(2026, 1, 3) + timedelta(n) for n in range(90)], "week"),
        ([date(2026, 1, 3) + timedelta(n) for n in range(300)], "month"),
        ([date(year, 5, 3) for year in range(2000, 2020)], "year"),
        ([date(2026, month, 1) for month in (1, 2, 3)], "month"),
        ([date(2026, month, 1) for month in (1, 4, 7)], "quarter"),
        ([date(year, 1, 1) for year in (2024, 2025)], "year"),
    ],
)
def test_periods_are_as_long_as_the_data_suggests(days: list[date], length: str) -> None:
    assert length_for(days) == length


def figures(table: Table, **options: object) -> list[dict[str, str]]:
    summary = Summary(table.columns, layout(**options), Formats("en", "UTC"))
    for batch in table.batches():
        summary.add(batch)
    return figures_of(summary)


def test_a_figure_changes_against_the_period_before() -> None:
    revenue, orders, margin, rows = figures(sales())
    assert (revenue["value"], revenue["change"], revenue["tone"], revenue["versus"]) == (
        "€33,000",
        "▲ 5.3%",
        "good",
        "Nov vs. Oct",
    )
    assert (orders["label"], orders["value"]) == ("Orders", "330")
    assert (margin["label"], margin["value"], margin["change"]) == ("Ø Margin", "12.5%", "")
    assert (rows["value"], rows["change"]) == ("22", "= 0.0%")


def test_a_rise_of_what_should_fall_is_bad() -> None:
    assert figures(sales(), better_down=["revenue"])[0]["tone"] == "bad"


def test_a_period_that_is_not_over_is_not_compared() -> None:
    assert figures(sales(12))[0]["versus"] == "Nov vs. Oct"  # the report is made on the first of December


def test_figures_can_be_chosen_and_left_out() -> None:
    assert [figure["label"] for figure in figures(sales(), figures=["orders"])] == ["Orders"]
    assert figures(sales(), figures=[]) == []
    assert figures(sales(), period="")[0]["change"] == ""


def test_exact_amounts_stay_exact() -> None:
    table = Table([Column("m", kind="money")], [(Decimal("0.10"),)] * 3 + [(Decimal(10) ** 30,)])
    summary = Summary(table.columns, layout(), Formats("en", "UTC"))
    for batch in table.batches():
        summary.add(batch)
    assert summary.sums[0].value == Decimal("1000000000000000000000000000000.30")
