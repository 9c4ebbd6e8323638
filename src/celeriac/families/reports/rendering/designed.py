"""A designed PDF, for up to some thousand rows: Typst lays it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from celeriac.families.reports.rendering import charts, drawing
from celeriac.families.reports.rendering.document import Cells, data_of, heads, notice_of, totals_of
from celeriac.families.reports.rendering.figures import has_figures
from celeriac.families.reports.rendering.formats import number_of
from celeriac.families.reports.rendering.geometry import MARGIN_X, Page, plan
from celeriac.families.reports.rendering.model import Layout
from celeriac.families.reports.rendering.summary import Summary
from celeriac.families.reports.rendering.text import breakable, one_line
from celeriac.families.reports.rendering.typesetting import built_in, typeset

Row = tuple[object, ...]
#: Pixels of a chart for each point of the page: its texts are printed at 8 points.
_CHART_SCALE = 1.25
_CHART_ROWS_AT_MOST = 5_000


def chart_of(summary: Summary, rows: Sequence[Row], page: Page, height: int = 170) -> list[drawing.Chart]:
    """Return the chart of the report, if it has one."""
    wanted, width = summary.layout.chart, _chart_width(page)
    if isinstance(wanted, Mapping):
        return [drawing.custom(wanted, plain_rows(summary, rows[:_CHART_ROWS_AT_MOST]), summary.layout, width)]
    if wanted == "off" or not summary.count:
        return []
    chart = charts.automatic(summary, width, height)
    return [chart] if chart else []


def second(summary: Summary, page: Page) -> list[drawing.Chart]:
    """Return a second chart, by a category that the one over time does not show, if there is one."""
    width = _chart_width(page)
    if not charts.has_timeline(summary):
        return []
    chart = charts.ranking(summary, width, but=charts.stacked(summary)) or charts.ranking(summary, width)
    return [chart] if chart else []


def _chart_width(page: Page) -> int:
    return round((page.width - 2 * MARGIN_X) * _CHART_SCALE)


def plain_rows(summary: Summary, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as JSON, by the names of their columns."""
    names = [one_line(column.name) for column in summary.columns]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    number = number_of(value)
    if number is not None:
        return float(number) if abs(number) < 1e300 else str(number)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float | Decimal | timedelta):
        return None
    return one_line(str(value))


def design(summary: Summary, rows: Sequence[Row], table: Sequence[int], cells: Cells) -> tuple[bytes, Sequence[str]]:
    """Return the PDF of these rows, and what it does not show as it should.

    Raises:
        RenderingFailed: the template or the chart has an error, or the layout does not fit.
    """
    layout, formats = summary.layout, summary.formats
    columns = [summary.columns[index] for index in table]
    chosen = [cells[index] for index in table]
    texts = [
        [breakable(one_line(cell(row[index]), 300)) for cell, index in zip(chosen, table, strict=True)] for row in rows
    ]
    totals = totals_of(summary, cells, table)
    sample = [*texts, totals] if totals else texts
    page_heads = [formats.title(column) for column in columns]
    page = plan(columns, page_heads, sample, layout, wraps=True)
    shown = chart_of(summary, rows, page)
    data = data_of(
        summary,
        page,
        shown,
        {
            "title": formats.words.data if shown or has_figures(summary) else "",
            "columns": heads(columns, page, formats),
            "size": page.size,
            "rows": texts,
            "totals": totals,
            "per-page": None,
        },
    )
    signs = set("".join(map("".join, texts))).union(json.dumps(data | {"table": None}, ensure_ascii=False), *page_heads)
    notice = notice_of(signs, layout, formats)
    data["notice"] = notice.shown
    return _typeset(layout, data, summary, rows), notice.warnings


def _typeset(layout: Layout, data: dict[str, Any], summary: Summary, rows: Sequence[Row]) -> bytes:
    """Typeset with the user's template, which also gets the plain rows, or with the built-in one."""
    source = built_in()
    if layout.template is not None:
        source = layout.template.encode("utf-8", "replace")
        data = data | {"rows": plain_rows(summary, rows)}
    return typeset(source, data, layout.theme, archival=layout.archival, tagged=True, moment=layout.created_at)
