"""XLSX in constant memory: types, a head that stays, filters and number formats. Texts are never formulas."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false
# xlsxwriter has types for a part only.

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from celeriac.families.reports.rendering.columns import chosen as chosen_of
from celeriac.families.reports.rendering.document import created_of, source_of, title_of
from celeriac.families.reports.rendering.errors import TooManyRows
from celeriac.families.reports.rendering.formats import Formats, Number, is_label, number_of, odd_number, places_of
from celeriac.families.reports.rendering.geometry import ems, is_right
from celeriac.families.reports.rendering.model import Column, Layout, Progress, Rendered, Rows
from celeriac.families.reports.rendering.summary import Sum, is_totalled
from celeriac.families.reports.rendering.text import one_line, storable

_ROWS_AT_MOST = 1_048_576
_COLUMNS_AT_MOST = 16_384
_CELL_AT_MOST = 32_767
_EXACT_AT_MOST = 10**15  # Excel keeps 15 digits of a number; longer ones are written as text
_FIRST_YEAR = 1900
_SAMPLE = 500
_DATE_FORMAT = re.compile(r"[dmy]{1,4}[./-][dmy]{1,4}[./-][dmy]{1,4}")
_PORTRAIT_AT_MOST = 105  # characters
_PAPERS = {"a3": 8, "a4": 9, "a5": 11, "us-letter": 1, "us-legal": 5}


def render_xlsx(rows: Rows, layout: Layout, path: Path, progress: Progress) -> Rendered:
    """Write the rows as a sheet, with a row of totals."""
    formats = Formats(layout.locale, layout.timezone)
    columns = list(rows.columns)
    chosen = chosen_of(columns, layout.columns)
    if len(chosen) > _COLUMNS_AT_MOST:
        raise TooManyRows(f"a sheet has at most {_COLUMNS_AT_MOST} columns: choose fewer in `columns`")
    options = {
        "constant_memory": True,
        "tmpdir": str(path.parent),  # where it goes with the report, if this process is killed
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "nan_inf_to_errors": True,
    }
    book = xlsxwriter.Workbook(str(path), options)
    try:
        count = _fill(book, rows, columns, chosen, layout, formats, progress)
    finally:
        _close(book)
    return Rendered(count, None, path.stat().st_size, "xlsxwriter")


def _close(book: Workbook) -> None:
    try:
        book.close()
    except XlsxWriterException as error:
        cause = error.__cause__ or error.__context__
        raise cause if isinstance(cause, OSError) else error from None


def _fill(
    book: Workbook,
    rows: Rows,
    columns: list[Column],
    chosen: list[int],
    layout: Layout,
    formats: Formats,
    progress: Progress,
) -> int:
    sheet = book.add_worksheet(_sheet_name(title_of(layout, formats)))
    book.set_properties(
        {"title": title_of(layout, formats), "author": one_line(layout.author, 200), "created": _created(layout)}
    )
    shown = [columns[index] for index in chosen]
    styles = [book.add_format(_style(column, formats)) for column in shown]
    _head(book, sheet, shown, layout, formats)
    sums = [Sum() for _ in shown]
    summed = [place for place, column in enumerate(shown) if is_totalled(column)]
    writers = [_writer(sheet, column, style, formats) for column, style in zip(shown, styles, strict=True)]
    line = 0
    sample: list[Sequence[object]] = []
    for batch in rows.batches():
        if line + len(batch) + 2 > _ROWS_AT_MOST:
            raise TooManyRows(
                f"a sheet has at most {_ROWS_AT_MOST} rows: ask for fewer, or choose the format csv or parquet"
            )
        for row in batch:
            line += 1
            for place, write in enumerate(writers):
                write(line, place, row[chosen[place]])
        for place in summed:
            sums[place].add([row[chosen[place]] for row in batch])
        if len(sample) < _SAMPLE:
            sample += batch[: _SAMPLE - len(sample)]
        progress(line, None)
    if layout.totals and summed and line > 1:
        _totals(book, sheet, shown, sums, summed, line, formats)
    sheet.autofilter(0, 0, max(line, 1), len(shown) - 1)
    values = [[row[index] for row in sample] for index in chosen]
    totals = [sums[place].value if place in summed else None for place in range(len(shown))]
    widths = [
        _width(column, [*found, total], formats) for column, found, total in zip(shown, values, totals, strict=True)
    ]
    for place, (width, style) in enumerate(zip(widths, styles, strict=True)):
        sheet.set_column(place, place, width, style)
    _paper(sheet, layout, formats, sum(widths))
    return line


def _sheet_name(title: str) -> str:
    """Return the title as the name of a sheet: 31 characters, without those that Excel refuses there."""
    name = "".join(" " if sign in "[]:*?/\\\ufffd" else sign for sign in title)
    name = " ".join(name.split()).strip("'")
    while len(name.encode("utf-16-le")) > 62:
        name = name[:-1]
    name = name.strip("' ")
    return name if name and name.casefold() != "history" else "Report"


def _created(layout: Layout) -> datetime:
    made = layout.created_at
    return made.replace(tzinfo=None) if made else datetime(2000, 1, 1)  # the file's bytes depend on no clock


def _head(book: Workbook, sheet: Worksheet, columns: list[Column], layout: Layout, formats: Formats) -> None:
    if formats.right_to_left:
        sheet.right_to_left()
    sheet.freeze_panes(1, 0)
    base = {"bold": True, "bottom": 2, "bottom_color": layout.theme.colour, "font_color": "#1f2933", "text_wrap": True}
    for place, column in enumerate(columns):
        style = book.add_format(base | {"valign": "vcenter"} | _alignment(column, rtl=formats.right_to_left))
        sheet.write_string(0, place, storable(formats.title(column)), style)


def _alignment(column: Column, *, rtl: bool) -> dict[str, Any]:
    """Return where the values of a column stand. All but numbers are a little away from the column before them."""
    return {"align": "right"} if is_right(column) else {"align": "right" if rtl else "left", "indent": 1}


def _style(column: Column, formats: Formats) -> dict[str, Any]:
    style: dict[str, Any] = {"num_format": _number_format(column, formats), "valign": "top"}
    if column.kind == "text":
        style["text_wrap"] = True
    return style if is_right(column) else style | _alignment(column, rtl=formats.right_to_left)


def _width(column: Column, values: list[object], formats: Formats) -> float:
    """Return the width of a column, in characters of the sheet, that shows what it is measured by."""
    if column.kind in ("date", "datetime"):
        shown = 7.0 if column.kind == "date" else 11.5
    else:
        cell = formats.cell(column)
        shown = max((ems(cell(value)) for value in values if value is not None), default=0.0)
    title = max(map(ems, formats.title(column).split()), default=0.0) * 1.1
    return round(min(max(shown / 0.52, title / 0.52 + 2.5, 5) + 2.5, 60), 1)  # a head has a button for its filter


def _paper(sheet: Worksheet, layout: Layout, formats: Formats, width: float) -> None:
    """Set how the sheet is printed: the head on each page, title, date, source and page number around them."""
    sheet.repeat_rows(0)
    sheet.set_paper(_PAPERS[layout.paper])
    if layout.orientation == "landscape" or (layout.orientation == "auto" and width > _PORTRAIT_AT_MOST):
        sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    title, created, source = (
        one_line(text, 80).replace("&", "&&")
        for text in (title_of(layout, formats), created_of(layout, formats), source_of(layout, formats))
    )
    start, end = ("&R", "&L") if formats.right_to_left else ("&L", "&R")
    sheet.set_header(f"{start}{title}{end}{created}")
    sheet.set_footer(f"{start}{source}{end}&P / &N")


def _totals(
    book: Workbook,
    sheet: Worksheet,
    columns: list[Column],
    sums: list[Sum],
    summed: list[int],
    line: int,
    formats: Formats,
) -> None:
    base = {"bold": True, "top": 1}
    for place, column in enumerate(columns):
        style = book.add_format(base | _style(column, formats))
        if place in summed and sums[place].count:
            value = sums[place].value
            _number(sheet, line + 1, place, _days(value) if column.kind == "duration" else value, style)
        elif place == 0:
            sheet.write_string(line + 1, 0, formats.words.total, style)
        else:
            sheet.write_blank(line + 1, place, None, style)


def _date_format(formats: Formats) -> str:
    """Return how the locale writes days, with all digits of the year; else as ISO 8601 does."""
    pattern = str(formats.locale.date_formats["short"].pattern).lower()
    pattern = re.sub("y+", "yyyy", pattern.replace("\u200f", ""))
    return pattern if _DATE_FORMAT.fullmatch(pattern) else "yyyy-mm-dd"


def _number_format(column: Column, formats: Formats) -> str:
    if column.kind in ("date", "datetime"):
        return _date_format(formats) + (" hh:mm:ss" if column.kind == "datetime" else "")
    if column.kind == "duration":
        return "[h]:mm:ss"
    if column.kind == "time":
        return "hh:mm:ss"
    if column.kind == "boolean":
        return '"TRUE";"TRUE";"FALSE"'  # LibreOffice shows some as 1 and 0 else
    if is_label(column):
        return "0"
    if not is_right(column):
        return "General"
    places = places_of(column)
    return (
        ("0" if column.kind == "percent" else "#,##0")
        + (f".{'0' * places}" if places else "")
        + ("%" if column.kind == "percent" else "")
    )


def _days(seconds: Number) -> Number:
    return seconds / 86_400  # a sheet counts time in days


def _number(sheet: Worksheet, line: int, place: int, value: Any, style: Any) -> None:
    if abs(value) < _EXACT_AT_MOST:
        sheet.write_number(line, place, value, style)
    else:
        sheet.write_string(line, place, str(value)[:_CELL_AT_MOST], style)


def _writer(sheet: Worksheet, column: Column, style: Any, formats: Formats) -> Callable[[int, int, object], None]:
    """Return what writes the values of a column. Each kind of value is written as what it is; texts only as texts."""
    duration = column.kind == "duration"

    def write(line: int, place: int, value: object) -> None:
        if isinstance(value, str):
            if value:
                sheet.write_string(line, place, storable(value)[:_CELL_AT_MOST], style)
        elif isinstance(value, bool):
            sheet.write_boolean(line, place, value, style)
        elif isinstance(value, int | float | Decimal):
            number = number_of(value)
            if number is not None:
                _number(sheet, line, place, _days(number) if duration else number, style)
            else:
                sheet.write_string(line, place, odd_number(value) or "", style)  # a sheet has no such numbers
        elif value is not None:
            _other(sheet, line, place, value, style, formats)

    return write


def _other(sheet: Worksheet, line: int, place: int, value: object, style: Any, formats: Formats) -> None:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = formats.local(value).replace(tzinfo=None)
    if isinstance(value, timedelta | time) or (isinstance(value, date) and value.year >= _FIRST_YEAR):
        moment: Any = value
        sheet.write_datetime(line, place, moment, style)
    elif isinstance(value, date):
        sheet.write_string(line, place, value.isoformat(), style)  # a sheet knows no earlier days
    else:
        sheet.write_string(line, place, storable(formats.any(value))[:_CELL_AT_MOST], style)
