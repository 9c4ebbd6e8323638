"""XLSX in constant memory: types, a head that stays, filters and number formats. Texts are never formulas."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false
# xlsxwriter has types for a part only.

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from celeriac.families.reports.rendering.columns import chosen as chosen_of
from celeriac.families.reports.rendering.document import title_of
from celeriac.families.reports.rendering.errors import TooManyRows
from celeriac.families.reports.rendering.formats import Formats, is_label, number_of, places_of
from celeriac.families.reports.rendering.geometry import ems, is_right
from celeriac.families.reports.rendering.model import Column, Layout, Progress, Rendered, Rows
from celeriac.families.reports.rendering.summary import Sum, is_totalled
from celeriac.families.reports.rendering.text import one_line, storable

_ROWS_AT_MOST = 1_048_576
_COLUMNS_AT_MOST = 16_384
_CELL_AT_MOST = 32_767
_EXACT_AT_MOST = 10**15  # Excel keeps 15 digits of a number; longer ones are written as text
_FIRST_YEAR = 1900


def render_xlsx(rows: Rows, layout: Layout, path: Path, progress: Progress) -> Rendered:
    """Write the rows as a sheet, with a row of totals."""
    formats = Formats(layout.locale, layout.timezone)
    columns = list(rows.columns)
    chosen = chosen_of(columns, layout.columns)
    if len(chosen) > _COLUMNS_AT_MOST:
        raise TooManyRows(f"a sheet has at most {_COLUMNS_AT_MOST} columns: choose fewer in `columns`")
    options = {
        "constant_memory": True,
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
    sheet = book.add_worksheet()
    book.set_properties(
        {"title": title_of(layout, formats), "author": one_line(layout.author, 200), "created": _created(layout)}
    )
    shown = [columns[index] for index in chosen]
    styles = [book.add_format({"num_format": _number_format(column)}) for column in shown]
    _head(book, sheet, shown, styles, layout, formats)
    sums = [Sum() for _ in shown]
    summed = [place for place, column in enumerate(shown) if is_totalled(column)]
    writers = [_writer(sheet, column, style, formats) for column, style in zip(shown, styles, strict=True)]
    line = 0
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
        progress(line, None)
    if layout.totals and summed and line > 1:
        _totals(book, sheet, shown, sums, summed, line, formats)
    sheet.autofilter(0, 0, max(line, 1), len(shown) - 1)
    return line


def _created(layout: Layout) -> datetime:
    made = layout.created_at
    return made.replace(tzinfo=None) if made else datetime(2000, 1, 1)  # the file's bytes depend on no clock


def _head(
    book: Workbook, sheet: Worksheet, columns: list[Column], styles: list[Any], layout: Layout, formats: Formats
) -> None:
    if formats.right_to_left:
        sheet.right_to_left()
    sheet.freeze_panes(1, 0)
    base = {"bold": True, "bottom": 2, "bottom_color": layout.theme.colour, "font_color": "#1f2933", "text_wrap": True}
    left = book.add_format(base | {"valign": "vcenter"})
    right = book.add_format(base | {"valign": "vcenter", "align": "right"})
    for place, (column, style) in enumerate(zip(columns, styles, strict=True)):
        title = formats.title(column)
        usual = {"text": 24, "datetime": 18, "date": 13, "money": 15, "decimal": 14}.get(column.kind, 12)
        sheet.set_column(place, place, min(max(usual, ems(title) * 2 + 4), 60), style)
        sheet.write_string(0, place, storable(title), right if is_right(column) else left)
    sheet.repeat_rows(0)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&C&P / &N")


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
        style = book.add_format(base | {"num_format": _number_format(column)})
        if place in summed and sums[place].count:
            _number(sheet, line + 1, place, sums[place].value, style)
        elif place == 0:
            sheet.write_string(line + 1, 0, formats.words.total, style)
        else:
            sheet.write_blank(line + 1, place, None, style)


def _number_format(column: Column) -> str:
    if column.kind in ("date", "datetime"):
        return "yyyy-mm-dd" if column.kind == "date" else "yyyy-mm-dd hh:mm:ss"
    if column.kind == "duration":
        return "[h]:mm:ss"
    if column.kind == "time":
        return "hh:mm:ss"
    if not is_right(column):
        return "General"
    if is_label(column):
        return "0"
    places = places_of(column)
    return (
        ("0" if column.kind == "percent" else "#,##0")
        + (f".{'0' * places}" if places else "")
        + ("%" if column.kind == "percent" else "")
    )


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
                _number(sheet, line, place, number / 86_400 if duration else number, style)
        elif value is not None:
            _other(sheet, line, place, value, style, formats)

    return write


def _other(sheet: Worksheet, line: int, place: int, value: object, style: Any, formats: Formats) -> None:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(formats.zone).replace(tzinfo=None)
    if isinstance(value, timedelta | time) or (isinstance(value, date) and value.year >= _FIRST_YEAR):
        moment: Any = value
        sheet.write_datetime(line, place, moment, style)
    elif isinstance(value, date):
        sheet.write_string(line, place, value.isoformat(), style)  # a sheet knows no earlier days
    else:
        sheet.write_string(line, place, storable(formats.any(value))[:_CELL_AT_MOST], style)
