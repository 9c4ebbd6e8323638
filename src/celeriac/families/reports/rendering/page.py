"""HTML as one page that needs nothing else. All texts are escaped, and the page runs no script and loads nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from celeriac.families.reports.rendering import charts, drawing, fonts
from celeriac.families.reports.rendering.columns import chosen
from celeriac.families.reports.rendering.designed import plain_rows
from celeriac.families.reports.rendering.document import (
    Cells,
    created_of,
    logo_svg,
    source_of,
    title_of,
    totals_of,
)
from celeriac.families.reports.rendering.figures import figures_of, has_figures
from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.geometry import ems, is_right
from celeriac.families.reports.rendering.model import Column, Layout, Progress, Rendered, Rows
from celeriac.families.reports.rendering.summary import Summary
from celeriac.families.reports.rendering.text import breakable, one_line

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CHART_ROWS_AT_MOST = 5_000
_CHART_WIDTH = 900
_MEASURED = 300
_STYLE = """
:root{--accent:ACCENT;--ink:#1f2933;--quiet:#5f6b7a;--hair:#d9dee5}
*{box-sizing:border-box}
body{margin:0;font:14px/1.45 FONTS,system-ui,sans-serif;color:var(--ink);
background:#fff;font-variant-numeric:tabular-nums}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}
header{display:flex;justify-content:space-between;align-items:center;gap:24px}
h1{font-size:30px;line-height:1.2;margin:12px 0 6px;font-weight:600}
h1::before{content:"";display:block;width:38px;height:5px;border-radius:3px;background:var(--accent);margin-bottom:14px}
h2{font-size:17px;font-weight:600;margin:34px 0 12px}
header img{height:44px;max-width:220px}
.quiet,footer{color:var(--quiet)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin-top:26px}
.figure{border:1px solid var(--hair);border-radius:6px;background:#fbfcfd;padding:14px 16px}
.figure b{display:block;font-size:24px;font-weight:600;line-height:1.35;white-space:nowrap}
.figure small{color:var(--quiet);font-size:12px}
.good{color:#17714a;font-weight:600}.bad{color:#b3261e;font-weight:600}
.legend{color:var(--quiet);font-size:12px;margin:0 0 10px}
.legend span{display:inline-block;margin-inline-end:18px}
.legend i{display:inline-block;width:10px;height:10px;margin-inline-end:6px}
.chart img{width:100%;height:auto;display:block}
.table{overflow:auto;max-height:92vh}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:6px 10px;text-align:start;vertical-align:top;max-width:420px;overflow-wrap:break-word}
th{position:sticky;top:0;background:#fff;color:var(--quiet);font-weight:600;border-bottom:2px solid var(--accent)}
.n{text-align:right}.n,.d{white-space:nowrap}
tbody tr:nth-child(even){background:#f5f7f9}
tfoot td{font-weight:700;border-top:2px solid var(--accent)}
footer{border-top:1px solid var(--hair);margin-top:36px;padding-top:10px;font-size:12px}
@media print{main{padding:0;max-width:none}.table{max-height:none;overflow:visible}
th{position:static}tr{break-inside:avoid}.figure{break-inside:avoid}}
"""


def render_html(rows: Rows, layout: Layout, path: Path, progress: Progress) -> Rendered:
    """Write the report as one page. Rows of the table wait in a file until the key figures above them are known."""
    formats = Formats(layout.locale, layout.timezone)
    columns = list(rows.columns)
    summary = Summary(columns, layout, formats)
    table = chosen(columns, layout.columns)
    cells = [formats.cell(column) for column in columns]
    sample: list[tuple[object, ...]] = []
    with TemporaryFile("w+", dir=path.parent, encoding="utf-8", newline="") as spool:
        for batch in rows.batches():
            summary.add(batch)
            sample += batch[: _CHART_ROWS_AT_MOST - len(sample)]
            _write_rows(spool, batch, summary, table, cells)
            progress(summary.count, None)
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(_above(summary, table, cells, sample))
            spool.seek(0)
            while piece := spool.read(1 << 16):
                file.write(piece)
            file.writelines(_below(summary, table, cells))
    return Rendered(summary.count, None, path.stat().st_size, "html")


def _write_rows(
    file: IO[str], batch: Sequence[tuple[object, ...]], summary: Summary, table: Sequence[int], cells: Cells
) -> None:
    kinds = [_tag(summary.columns[index]) for index in table]
    for row in batch:
        texts = (kind + _safe(cells[index](row[index])) for kind, index in zip(kinds, table, strict=True))
        file.write(f"<tr>{''.join(texts)}\n")


def _tag(column: Column) -> str:
    return '<td class="n">' if is_right(column) else "<td>" if column.kind in ("text", "binary") else '<td class="d">'


def _least_width(column: Column, texts: Sequence[str]) -> float:
    """Return how narrow a column of texts may become, so that a sentence is no tower of words."""
    return min(max(map(ems, texts), default=0.0) * 0.6, 18) + 1


def _safe(text: str) -> str:
    """Return the text as HTML, with places where a very long word may be broken."""
    return escape(breakable(text)).replace("\u200b", "<wbr>").replace("\xad", "&shy;")


def _above(summary: Summary, table: Sequence[int], cells: Cells, sample: Sequence[tuple[object, ...]]) -> Iterator[str]:
    layout, formats = summary.layout, summary.formats
    title = escape(title_of(layout, formats))
    direction = "rtl" if formats.right_to_left else "ltr"
    families = ", ".join(f'"{family}"' for family in fonts.chain(re.sub(r"[^\w -]", "", layout.theme.font)))
    style = _STYLE.replace("ACCENT", layout.theme.colour).replace("FONTS", families)
    language = str(formats.locale).replace("_", "-")
    yield f'<!doctype html>\n<html lang="{language}" dir="{direction}">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>{title}</title>\n<style>{style}</style>\n</head>\n"
    yield f"<body>\n<main>\n<header>\n<div>\n<h1>{title}</h1>\n"
    for line in (one_line(layout.subtitle, 300), created_of(layout, formats)):
        if line:
            yield f'<div class="quiet">{escape(line)}</div>\n'
    logo = logo_svg(layout.theme.logo)
    yield "</div>\n"
    if logo:  # a script in a picture does not run
        source = b64encode(logo.encode()).decode()
        yield f'<img alt="{escape(layout.author or "Logo")}" src="data:image/svg+xml;base64,{source}">\n'
    yield "</header>\n"
    yield from _figures(figures_of(summary))
    shown = _charts(summary, sample)
    for chart in shown:
        names = "".join(f'<span><i style="background:{hue}"></i>{escape(name)}</span>' for name, hue in chart.legend)
        yield f"<h2>{escape(chart.title)}</h2>\n" if chart.title else ""
        of = f"<span>{escape(chart.legend_title)}:</span>" if chart.legend_title else ""
        yield f'<p class="legend">{of}{names}</p>\n' if names else ""
        yield f'<div class="chart" role="img" aria-label="{escape(chart.description)}">{_picture(chart.svg)}</div>\n'
    yield f"<h2>{escape(formats.words.data)}</h2>\n" if shown or has_figures(summary) else ""
    yield '<div class="table">\n<table>\n<thead>\n<tr>'
    for index in table:
        column = summary.columns[index]
        wide = _least_width(column, [cells[index](row[index]) for row in sample[:_MEASURED]])
        kind = " class=n" if is_right(column) else f' style="min-width:{wide:.1f}em"'
        yield f'<th scope="col"{kind}>{escape(formats.title(column))}</th>'
    yield "</tr>\n</thead>\n<tbody>\n"


def _figures(figures: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not figures:
        return
    yield '<section class="figures">\n'
    for figure in figures:
        change = ""
        if figure["change"]:
            tone = figure["tone"] or "quiet"
            change = f'<small><span class="{tone}">{escape(figure["change"])}</span> {escape(figure["versus"])}</small>'
        label, value = escape(figure["label"]), escape(figure["value"])
        yield f'<div class="figure"><small>{label}</small><b>{value}</b>{change}</div>\n'
    yield "</section>\n"


def _charts(summary: Summary, sample: Sequence[tuple[object, ...]]) -> list[drawing.Chart]:
    wanted = summary.layout.chart
    if isinstance(wanted, dict):
        return [drawing.custom(wanted, plain_rows(summary, sample), summary.layout, _CHART_WIDTH)]
    if wanted == "off" or not summary.count:
        return []
    chart = charts.automatic(summary, _CHART_WIDTH, 240)
    return [chart] if chart else []


def _picture(svg: str) -> str:
    """Return the chart as a picture: links and scripts that a spec brings do nothing in one."""
    return f'<img alt="" src="data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}">'


def _below(summary: Summary, table: Sequence[int], cells: Cells) -> Iterator[str]:
    formats = summary.formats
    yield "</tbody>\n"
    totals = totals_of(summary, cells, table)
    if totals:
        row = zip(table, totals, strict=True)
        cells_of = (f"<td{' class=n' if is_right(summary.columns[i]) else ''}>{escape(text)}</td>" for i, text in row)
        yield f"<tfoot>\n<tr>{''.join(cells_of)}</tr>\n</tfoot>\n"
    yield "</table>\n</div>\n"
    if not summary.count:
        yield f'<p class="quiet">{escape(formats.words.empty)}</p>\n'
    source = source_of(summary.layout, formats)
    yield f"<footer>{escape(source)}</footer>\n" if source else ""
    yield "</main>\n</body>\n</html>\n"
