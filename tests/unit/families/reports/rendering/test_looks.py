"""What a demanding reader sees: what is added up and compared, and how wide columns are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from celeriac.families.reports.rendering import Column
from celeriac.families.reports.rendering.figures import figures_of
from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.geometry import plan
from celeriac.families.reports.rendering.summary import Summary, is_totalled
from tests.support.reports import Table, layout

NAMES_OF_THINGS = (
    *("id", "order_id", "customerId", "id_client", "sku", "Kundennummer", "rechnungsnr", "numéro", "番号"),
    *("year", "fiscal_year", "Jahr", "année", "年度", "month", "week"),
    *("zip", "zip_code", "postcode", "PLZ", "code_postal", "郵便番号"),
)


@pytest.mark.parametrize("name", NAMES_OF_THINGS)
def test_numbers_that_name_things_are_neither_added_up_nor_grouped(name: str) -> None:
    column = Column(name, kind="integer")
    assert not is_totalled(column)
    assert Formats("en", "UTC").cell(column)(1_234_567) == "1234567"


@pytest.mark.parametrize("name", ["paid", "orders", "days", "amount_no_vat", "valid", "units", "grid", "hours"])
def test_other_whole_numbers_are_added_up(name: str) -> None:
    assert is_totalled(Column(name, kind="integer"))


@pytest.mark.parametrize("name", ["unit_price", "exchangeRate", "rating", "avg_delay", "temperature"])
def test_numbers_whose_sum_means_nothing_are_averaged(name: str) -> None:
    found = summed(Table([Column(name, "N", "decimal")], [(2.0,), (4.0,)]))
    assert (found[0]["label"], found[0]["value"]) == ("Ø N", "3.00")


def summed(table: Table, **options: object) -> list[dict[str, str]]:
    summary = Summary(table.columns, layout(**options), Formats("en", "UTC"))
    for batch in table.batches():
        summary.add(batch)
    return figures_of(summary)


def test_money_is_the_first_figure_whatever_stands_before_it() -> None:
    columns = [Column("Menge", kind="integer"), Column("Gewicht", kind="decimal"), Column("Betrag", kind="decimal")]
    assert [found["label"] for found in summed(Table(columns, [(5, 1.5, 9.99)]))] == [
        "Betrag",
        "Menge",
        "Gewicht",
        "Rows",
    ]


@pytest.mark.parametrize(
    ("locale", "currency", "shown"),
    [
        ("de-CH", "CHF", "CHF\xa03'660'705"),
        ("de", "EUR", "3.660.705\xa0€"),
        ("en", "USD", "$3,660,705"),
        ("ja", "JPY", "\uffe53,660,705"),
    ],
)
def test_large_amounts_are_grouped_with_the_sign_of_the_currency(locale: str, currency: str, shown: str) -> None:
    formats = Formats(locale, "UTC")
    assert formats.money(3_660_705, currency, 0).replace("\u2019", "'") == shown
    assert "3" in formats.money(Decimal("-0.003"), currency, 3)
    assert "-" not in formats.money(Decimal("-0.003"), currency, 2)


def test_a_zone_without_a_name_is_a_distance_from_greenwich() -> None:
    moment = datetime(2026, 12, 1, 2, tzinfo=UTC)
    assert Formats("en", "Asia/Dubai").created(moment).endswith("AM GMT+04")
    assert Formats("fr", "Europe/Paris").created(moment).endswith("CET")


def test_a_period_without_any_number_is_not_compared() -> None:
    columns = [Column("month", kind="date"), Column("actual", kind="decimal"), Column("plan", kind="decimal")]
    rows = [(date(2026, month, 1), 100.0 if month < 11 else None, 100.0) for month in range(1, 12)]
    actual, plan_, _ = summed(Table(columns, rows))
    assert actual["change"] == ""  # and no fall of 100 %
    assert plan_["change"] == "= 0.0%"


@pytest.mark.parametrize(("hours", "versus"), [(12, "Nov 9 vs. Nov 8"), (23, "Nov 10 vs. Nov 9")])
def test_a_day_that_ends_at_noon_is_not_compared_with_whole_days(hours: int, versus: str) -> None:
    rows = [(datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=h), 1) for h in range(9 * 24 + hours)]
    assert summed(Table([Column("at", kind="datetime"), Column("n", kind="integer")], rows))[0]["versus"] == versus


def wide(texts: Sequence[str]) -> tuple[list[Column], list[list[str]]]:
    columns = [Column(f"column {n}") for n in range(len(texts))]
    return columns, [list(texts)] * 20


def test_fifteen_columns_stay_readable_and_leave_long_texts_their_room() -> None:
    texts = ["Jean-Luc de la Fontaine", "user100@example.com", "Germany"] * 4 + ["A long remark of many words " * 6]
    columns, rows = wide(texts)
    page = plan(columns, [column.name for column in columns], rows, layout(), wraps=True)
    assert page.landscape
    assert page.size >= 6
    assert page.widths[-1] == max(page.widths)
    assert sum(page.widths) == pytest.approx(page.room, abs=0.1)


@pytest.mark.parametrize(("each", "is_compared"), [(4, False), (5, True)])
def test_a_period_is_compared_if_it_has_five_rows(each: int, is_compared: bool) -> None:
    days = [date(2026, month, 3 + n) for month in range(1, 7) for n in range(each)] + [date(2026, 6, 30)] * each
    found = summed(Table([Column("day", kind="date"), Column("n", kind="integer")], [(day, 1) for day in days]))
    assert (found[0]["change"] != "") is is_compared


def test_a_change_to_more_than_eleven_times_is_not_shown() -> None:
    rows = [(date(2026, month, 1), 10.0 if month < 4 else 432.0) for month in range(1, 5)]
    assert summed(Table([Column("month", kind="date"), Column("n", kind="decimal")], rows))[0]["change"] == ""
