"""What a demanding reader sees in a file: where things stand, and which chart is drawn."""

from __future__ import annotations

import re
import time
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import get_args

import pikepdf
import pytest
from python_calamine import CalamineWorkbook

from celeriac.families.reports.rendering import Column, Format, Theme, charts
from celeriac.families.reports.rendering.drawing import NO_CATEGORY, shades
from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.summary import Summary
from celeriac.families.reports.rendering.text import breakable
from tests.support.reports import MADE, Table, box_of, layout, page_texts, sales, write


def test_ids_stand_at_the_left_like_the_texts_beside_them(tmp_path: Path) -> None:
    table = Table([Column("order_id", kind="integer"), Column("n", "Amount", "integer")], [(77_001, 5), (8, 1_234)])
    write(table, layout(figures=[]), "pdf", tmp_path / "r.pdf")
    assert box_of(tmp_path / "r.pdf", "77001")[0] == pytest.approx(box_of(tmp_path / "r.pdf", "Order id")[0], abs=1)
    assert box_of(tmp_path / "r.pdf", "1,234")[2] == pytest.approx(box_of(tmp_path / "r.pdf", "Amount")[2], abs=1)


def test_no_page_has_the_totals_alone(tmp_path: Path) -> None:
    table = Table([Column("name"), Column("n", kind="integer")], [(f"row {i};", 1) for i in range(48)])
    for number in range(34, 48):  # the page ends somewhere among these
        write(Table(table.columns, table.rows[:number]), layout(), "pdf", tmp_path / "r.pdf")
        assert f"row {number - 1};" in page_texts(tmp_path / "r.pdf")[-1], number


def test_a_legend_runs_in_the_direction_of_the_language(tmp_path: Path) -> None:
    table = sales(11, ("aaaa", "bbbb"))
    for locale in ("en", "ar"):
        write(table, layout(locale=locale, chart="auto"), "pdf", tmp_path / f"{locale}.pdf")
    assert box_of(tmp_path / "en.pdf", "aaaa")[2] < box_of(tmp_path / "en.pdf", "bbbb")[0]
    assert box_of(tmp_path / "ar.pdf", "aaaa")[0] > box_of(tmp_path / "ar.pdf", "bbbb")[2]


def chart_texts(table: Table, path: Path, **options: object) -> str:
    write(table, layout(chart="auto", **options), "pdf", path)
    return page_texts(path)[0]


def test_a_chart_over_time_names_its_periods_and_counts_time_in_hours(tmp_path: Path) -> None:
    columns = [Column("day", kind="date"), Column("work", kind="duration")]
    rows = [(date(2026, 9, 1) + timedelta(n), timedelta(hours=3)) for n in range(90)]
    text = chart_texts(Table(columns, rows), tmp_path / "r.pdf")
    assert "Work by week" in text
    assert "10:00:00" in text
    assert "Arbeit nach Woche" in chart_texts(
        Table([columns[0], Column("work", "Arbeit", "duration")], rows), tmp_path / "r.pdf", locale="de"
    )


def test_too_few_periods_give_a_chart_by_category(tmp_path: Path) -> None:
    assert "Revenue by Region" in chart_texts(sales(2), tmp_path / "r.pdf")


def test_rows_without_numbers_are_counted_by_their_first_useful_category(tmp_path: Path) -> None:
    rows = [(f"Task {n}", ("open", "done")[n % 2]) for n in range(20)]
    assert "Rows by Status" in chart_texts(Table([Column("name"), Column("status")], rows), tmp_path / "r.pdf")


def test_pages_of_a_huge_table_end_their_footer_where_the_first_page_does(tmp_path: Path) -> None:
    table = Table([Column("name"), Column("n", kind="integer")], [(f"r{i}", 1) for i in range(500)])
    counted = Counting(table.columns, table.rows)
    write(counted, layout(designed_rows=0), "pdf", tmp_path / "r.pdf")
    total = len(page_texts(tmp_path / "r.pdf"))
    first, last = (box_of(tmp_path / "r.pdf", f"/ {total}", page)[2] for page in (0, total - 1))
    assert first == pytest.approx(last, abs=1.5)


class Counting(Table):
    """Rows that say how many they are."""

    @property
    def count(self) -> int:
        return len(self.rows)


def test_pages_of_a_huge_table_have_the_colour_of_the_theme(tmp_path: Path) -> None:
    write(sales(), layout(designed_rows=0, theme=Theme(colour="#ff0080")), "pdf", tmp_path / "r.pdf")
    with pikepdf.open(tmp_path / "r.pdf") as pdf:
        strokes = [
            [round(float(part), 2) for part in operands]
            for operands, operator in pikepdf.parse_content_stream(pdf.pages[1])
            if str(operator) == "RG"
        ]
    assert [1.0, 0.0, 0.5] in strokes


def test_a_sheet_adds_up_time_and_tells_where_it_is_from(tmp_path: Path) -> None:
    columns = [Column("at", kind="datetime"), Column("work", kind="duration"), Column("done", kind="boolean")]
    rows = [(datetime(2026, 1, day, tzinfo=UTC), timedelta(hours=20), True) for day in (1, 2)]
    write(Table(columns, rows), layout(title="A & B"), "xlsx", tmp_path / "r.xlsx")
    found = CalamineWorkbook.from_path(str(tmp_path / "r.xlsx")).get_sheet_by_index(0).to_python()
    assert found[-1][1] == timedelta(hours=40)
    assert found[1][2] is True
    with zipfile.ZipFile(tmp_path / "r.xlsx") as parts:
        sheet = parts.read("xl/worksheets/sheet1.xml").decode()
    assert "&amp;LA &amp;&amp; B&amp;RCreated Dec 1, 2026" in sheet
    assert "&amp;LSource: shop&amp;R&amp;P / &amp;N" in sheet


def test_two_series_are_told_apart_and_rows_without_a_category_are_grey(tmp_path: Path) -> None:
    rows = [(date(2026, 1 + n % 4, 1), ("paid", "open", None)[n % 3], 100.0 * (1 + n % 3)) for n in range(24)]
    columns = [Column("month", kind="date"), Column("status"), Column("sum", kind="money", currency="EUR")]
    summary = Summary(columns, layout(chart="auto"), Formats("en", "UTC"))
    summary.add(rows)
    chart = charts.automatic(summary, 600, 170)
    assert chart
    assert chart.legend_title == "Status"
    assert chart.legend == [("open", "#1d4ed8"), ("paid", shades("#1d4ed8", 2)[1]), ("\u2013", NO_CATEGORY)]
    red, green, blue = (int(chart.legend[1][1][place : place + 2], 16) for place in (1, 3, 5))
    assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 190  # else it is hardly seen on white
    write(Table(columns, rows), layout(chart="auto"), "pdf", tmp_path / "r.pdf")
    assert "Status:" in page_texts(tmp_path / "r.pdf")[0]
    assert "\u20ac1K" in page_texts(tmp_path / "r.pdf")[0]  # at the axis


def test_an_empty_report_has_the_heads_of_its_columns(tmp_path: Path) -> None:
    for archival in (False, True):
        write(sales(0), layout(archival=archival), "pdf", tmp_path / "r.pdf")
        text = page_texts(tmp_path / "r.pdf")[0]
        assert "Region" in text
        assert "There are no rows." in text


@pytest.mark.parametrize(
    ("title", "name"),
    [("Sales", "Sales"), ("A/B: [x]*?", "A B x"), ("'s " + "x" * 40, "s " + "x" * 29), ("History", "Report")],
)
def test_a_sheet_is_called_as_the_report(title: str, name: str, tmp_path: Path) -> None:
    write(sales(2), layout(title=title), "xlsx", tmp_path / "r.xlsx")
    assert CalamineWorkbook.from_path(str(tmp_path / "r.xlsx")).sheet_names == [name]


@pytest.mark.parametrize(
    ("locale", "shown"),
    [("de", "dd.mm.yyyy"), ("en", "m/d/yyyy"), ("en-GB", "dd/mm/yyyy"), ("ja", "yyyy/mm/dd"), ("ar-EG", "d/m/yyyy")],
)
def test_a_sheet_has_the_days_of_the_locale_and_wraps_its_texts(locale: str, shown: str, tmp_path: Path) -> None:
    write(sales(2), layout(locale=locale), "xlsx", tmp_path / "r.xlsx")
    with zipfile.ZipFile(tmp_path / "r.xlsx") as parts:
        styles = parts.read("xl/styles.xml").decode()
    assert f'formatCode="{shown}"' in styles or (shown == "m/d/yyyy" and 'numFmtId="14"' in styles)
    assert re.search('<alignment [^>]*vertical="top" [^>]*wrapText="1"', styles)


def test_long_words_are_broken_with_a_hyphen_and_addresses_without_one(tmp_path: Path) -> None:
    assert breakable("Donaudampfschifffahrtsgesellschaft").split("\xad") == [
        *("Donau", "dampf", "schiff", "fahrts", "ge", "sell", "schaft")
    ]
    assert breakable("x" * 30) == "\xad".join(("x" * 12, "x" * 12, "x" * 6))
    assert "\xad" not in breakable("https://example.com/a-page/with/a/long/address")
    table = Table([Column(f"c{n}") for n in range(5)], [("Donaudampfschifffahrtsgesellschaftskapitän",) * 5])
    write(table, layout(figures=[], orientation="portrait"), "pdf", tmp_path / "r.pdf")
    assert len(re.findall("(?:fahrts|gesell)[-\u2010\xad\x02\ufffe]", page_texts(tmp_path / "r.pdf")[0])) == 5


@pytest.mark.parametrize("kind", get_args(Format))
@pytest.mark.parametrize(
    ("moment", "zone"), [(datetime.max, "Asia/Tokyo"), (datetime.min, "America/New_York"), (datetime.max, "UTC")]
)
def test_a_time_at_the_end_of_the_calendar_is_shown_in_its_own_zone(
    kind: Format, moment: datetime, zone: str, tmp_path: Path
) -> None:
    ever = moment.replace(tzinfo=UTC, microsecond=0)
    table = Table([Column("until", kind="datetime"), Column("n", kind="integer")], [(ever, 1), (MADE, 2)])
    for designed in (2_000, 0):
        to = layout(timezone=zone, created_at=ever, designed_rows=designed, chart="auto")
        assert write(table, to, kind, tmp_path / "r").rows == 2
    if kind == "csv":
        assert f"{ever:%H:%M:%S}+00:00" in (tmp_path / "r").read_text().splitlines()[1]


@pytest.mark.parametrize("rows", [2_000, 0])
def test_a_creation_time_without_a_zone_is_one_of_the_reports_zone_on_each_machine(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    for zone in ("Asia/Tokyo", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        to = layout(created_at=datetime(2026, 12, 1, 9, 30), timezone="Europe/Berlin", designed_rows=rows)
        write(sales(), to, "pdf", tmp_path / "r.pdf")
        made.append((tmp_path / "r.pdf").read_bytes())
        assert "9:30" in page_texts(tmp_path / "r.pdf")[0].replace("\u202f", " ")
    monkeypatch.undo()
    time.tzset()
    assert made[0] == made[1]
