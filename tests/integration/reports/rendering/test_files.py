"""XLSX, CSV, Parquet and HTML: types stay types, and hostile texts stay texts."""

from __future__ import annotations

import csv
import math
import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from python_calamine import CalamineWorkbook

from celeriac.families.reports.rendering import Column, CsvOptions, Format, render
from tests.support.reports import Table, layout, page_texts, sales, write

HOSTILE = [
    "=1+1",
    "@SUM(A1)",
    "-cmd|'/c calc'!A0",
    '#import "@preview/x:1.0.0"',
    "*bold* $x^2$ #panic(1) \\ @a <b>",
    "<script>alert(1)</script>&amp;",
    "a\x00b\x07c\x1b[31m",
    "lone \ud800 surrogate",
    "W" * 40_000,
    "tab\there\nnew",
    "\u202eevil",
    "日本語",
    "مرحبا",
    "{{7*7}}",
    "",
]
NUMBERS: list[object] = [
    1.5,
    math.nan,
    None,
    Decimal(10) ** 30,
    math.inf,
    -0.001,
    Decimal("NaN"),
    10**400,
    "text",
    True,
]


def hostile() -> Table:
    columns = [
        Column("=name", "#Name <b>"),
        Column("n", "<i>N</i>", "decimal"),
        Column("m", kind="money", currency="EUR"),
        Column("d", kind="date"),
        Column("b", kind="binary"),
        Column("u", kind="duration"),
    ]
    rows = [
        (
            text,
            NUMBERS[i % len(NUMBERS)],
            NUMBERS[-i % len(NUMBERS)],
            [date.min, date.max, None][i % 3],
            b"\xff",
            timedelta(i),
        )
        for i, text in enumerate(HOSTILE)
    ]
    return Table(columns, rows)


def read_csv(path: Path, **options: Any) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, **options))


@pytest.mark.parametrize("kind", ["xlsx", "csv", "parquet", "html"])
def test_hostile_values_break_no_file(kind: Format, tmp_path: Path) -> None:
    assert write(hostile(), layout(chart="auto"), kind, tmp_path / "f").rows == len(HOSTILE)
    assert (tmp_path / "f").stat().st_size


@pytest.mark.parametrize("designed", [2_000, 0])
def test_hostile_values_are_shown_in_a_pdf_and_not_run(designed: int, tmp_path: Path) -> None:
    write(hostile(), layout(designed_rows=designed), "pdf", tmp_path / "f")
    text = re.sub(r"[\s\u200b\ufffe\x02-]", "", "".join(page_texts(tmp_path / "f")))
    for shown in ("=1+1", "#panic(1)", "<script>alert(1)", '#import"@preview/x:1', "日本語", "1.000000e+400"):
        assert shown in text


def test_a_sheet_has_types_a_head_that_stays_filters_and_totals(tmp_path: Path) -> None:
    write(sales(2), layout(), "xlsx", tmp_path / "f.xlsx")
    rows = CalamineWorkbook.from_path(str(tmp_path / "f.xlsx")).get_sheet_by_index(0).to_python()
    assert rows[0] == ["Month", "Region", "Revenue €", "Orders", "Margin"]
    assert rows[1] == [date(2026, 1, 1), "North", 1000.0, 10.0, 0.125]
    assert rows[-1][:4] == ["Total", "", 4200.0, 42.0]
    with zipfile.ZipFile(tmp_path / "f.xlsx") as parts:
        sheet, styles = (parts.read(f"xl/{name}.xml").decode() for name in ("worksheets/sheet1", "styles"))
    assert 'state="frozen"' in sheet
    assert '<autoFilter ref="A1:E5"/>' in sheet  # without the totals
    assert "#,##0.00" in styles
    assert "m/d/yyyy" in styles


def test_no_text_of_a_sheet_is_a_formula_or_a_link(tmp_path: Path) -> None:
    write(hostile(), layout(), "xlsx", tmp_path / "f.xlsx")
    with zipfile.ZipFile(tmp_path / "f.xlsx") as parts:
        sheet = parts.read("xl/worksheets/sheet1.xml").decode()
        assert "xl/worksheets/_rels/sheet1.xml.rels" not in parts.namelist()
    assert "<f>" not in sheet
    rows = CalamineWorkbook.from_path(str(tmp_path / "f.xlsx")).get_sheet_by_index(0).to_python()
    assert rows[1][0] == "=1+1"
    assert len(str(rows[9][0])) == 32_767


def test_csv_disarms_formulas_and_leaves_numbers_alone(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "-1.5", "@x", "\tx", "\r=x", " =x", "a=b", "-x", "\uff1dx", "+49 30 1234"]
    table = Table([Column("t"), Column("n", kind="decimal")], [(text, -1.5) for text in texts])
    write(table, layout(), "csv", tmp_path / "f.csv")
    shown = [row[0] for row in read_csv(tmp_path / "f.csv")[1:]]
    assert shown == [
        "'=1+1",
        "+1",
        "-1",
        "-1.5",
        "'@x",
        "'\tx",
        "'\r=x",
        "' =x",
        "a=b",
        "'-x",
        "'\uff1dx",
        "'+49 30 1234",
    ]
    assert {row[1] for row in read_csv(tmp_path / "f.csv")[1:]} == {"-1.5"}
    write(table, layout(csv=CsvOptions(spreadsheet_safe=False)), "csv", tmp_path / "f.csv")
    assert [row[0] for row in read_csv(tmp_path / "f.csv")[1:]] == texts


def test_csv_has_the_delimiter_and_the_mark_that_are_asked_for(tmp_path: Path) -> None:
    write(sales(1), layout(csv=CsvOptions(delimiter=";", bom=True, titles=True)), "csv", tmp_path / "f.csv")
    content = (tmp_path / "f.csv").read_bytes()
    assert content.startswith(
        b"\xef\xbb\xbfMonth;Region;Revenue \xe2\x82\xac;Orders;Margin\r\n2026-01-01;North;1000;10;0.125\r\n"
    )


def test_csv_has_the_chosen_columns_in_their_order_and_an_empty_table_its_head(tmp_path: Path) -> None:
    write(sales(1), layout(columns=["orders", "month"]), "csv", tmp_path / "f.csv")
    assert read_csv(tmp_path / "f.csv")[:2] == [["orders", "month"], ["10", "2026-01-01"]]
    write(sales(0), layout(), "csv", tmp_path / "f.csv")
    assert read_csv(tmp_path / "f.csv") == [["month", "region", "revenue", "orders", "margin"]]


def test_csv_has_a_decimal_comma_if_it_is_asked_for(tmp_path: Path) -> None:
    columns = [Column("n", kind="decimal"), Column("m", kind="money"), Column("v")]
    table = Table(columns, [(12216.8, Decimal("-1.50"), "2.0"), (None, None, "a.b")])
    write(table, layout(csv=CsvOptions(delimiter=";", decimal=",")), "csv", tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text() == "n;m;v\n12216,8;-1,50;2.0\n;;a.b\n"  # texts stay as they are
    with pytest.raises(ValueError, match="take the delimiter ';'"):
        CsvOptions(decimal=",")


def test_parquet_has_the_types_of_the_columns(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    columns = [
        Column("a", kind="integer"),
        Column("b", kind="money", currency="EUR"),
        Column("c", kind="datetime"),
        Column("d"),
    ]
    write(
        Table(columns, [(1, 1.1, moment, "x"), (None, None, None, None), (2**70, math.nan, "?", 5)], size=2),
        layout(),
        "parquet",
        tmp_path / "f",
    )
    found = parquet.read_table(tmp_path / "f")
    assert [str(kind) for kind in found.schema.types] == [
        "int64",
        "decimal128(38, 2)",
        "timestamp[us, tz=UTC]",
        "string",
    ]
    assert found.to_pylist() == [
        {"a": 1, "b": Decimal("1.10"), "c": moment, "d": "x"},
        {"a": None, "b": None, "c": None, "d": None},
        {"a": None, "b": None, "c": None, "d": "5"},
    ]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_page_that_escapes_all_and_loads_nothing(tmp_path: Path) -> None:
    write(hostile(), layout(title="<b>T</b>", subtitle="<i>", chart="auto"), "html", tmp_path / "f.html")
    page = _Page()
    content = (tmp_path / "f.html").read_text()
    page.feed(content)
    assert not {"script", "b>t", "iframe", "link", "object"} & set(page.tags)
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "default-src 'none'" in content
    assert "<script>alert(1)</script>&amp;" in page.text
    assert page.text.count("<b>T</b>") == 2  # title and head


def test_html_has_figures_totals_and_the_direction_of_its_language(tmp_path: Path) -> None:
    write(sales(), layout(locale="ar"), "html", tmp_path / "f.html")
    content = (tmp_path / "f.html").read_text()
    assert 'lang="ar" dir="rtl"' in content
    assert re.search(r"<tfoot>\s*<tr><td>المجموع</td>.*33,000\.00", content)


@pytest.mark.parametrize("kind", ["xlsx", "csv", "parquet", "html"])
def test_the_same_rows_give_the_same_file(kind: Format, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(sales(), layout(), kind, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_progress_counts_rows(tmp_path: Path) -> None:
    kinds: tuple[Format, ...] = ("pdf", "xlsx", "csv", "parquet", "html")
    told: list[int] = []
    for kind in kinds:
        render(
            Table([Column("a")], [("x",)] * 25, size=10),
            layout(),
            kind,
            tmp_path / "f",
            progress=lambda n, _: told.append(n),
        )
        assert told == [10, 20, 25]
        told.clear()


def test_numbers_that_are_not_finite_are_shown_and_left_out_of_totals(tmp_path: Path) -> None:
    odd = [1.5, math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN"), 2]
    table = Table([Column("row"), Column("n", kind="decimal")], [(f"r{i}", value) for i, value in enumerate(odd)])
    for designed in (2_000, 0):
        write(table, layout(designed_rows=designed, figures=["n"]), "pdf", tmp_path / "r.pdf")
        text = " ".join(page_texts(tmp_path / "r.pdf"))
        assert (text.count("NaN"), text.count("∞"), "3.50" in text) == (3, 3, True)
    write(table, layout(), "html", tmp_path / "r.html")
    assert re.findall(r'<td class="n">(\D*?)\n', (tmp_path / "r.html").read_text()) == [
        "NaN",
        "∞",
        "-∞",
        "NaN",
        "-∞",
        "NaN",
    ]
    names = ["NaN", "Infinity", "-Infinity", "NaN", "-Infinity", "NaN"]
    write(table, layout(csv=CsvOptions(spreadsheet_safe=False)), "csv", tmp_path / "r.csv")
    assert [row[1] for row in read_csv(tmp_path / "r.csv")] == ["n", "1.5", *names, "2"]
    write(table, layout(), "csv", tmp_path / "r.csv")  # a spreadsheet would run -Infinity as a formula
    assert [row[1] for row in read_csv(tmp_path / "r.csv")][3:5] == ["Infinity", "'-Infinity"]
    write(table, layout(), "xlsx", tmp_path / "r.xlsx")
    sheet = CalamineWorkbook.from_path(str(tmp_path / "r.xlsx")).get_sheet_by_index(0).to_python()
    assert [row[1] for row in sheet[1:]] == [1.5, *names, 2.0, 3.5]
    write(table, layout(), "parquet", tmp_path / "r.parquet")
    kept = parquet.read_table(tmp_path / "r.parquet").column("n").to_pylist()
    assert [str(value) for value in kept] == ["1.5", "nan", "inf", "-inf", "nan", "-inf", "nan", "2.0"]
