"""Rendering of reports: rows and a layout become a file. It knows neither jobs nor storage.

`render` blocks and uses the CPU. Limits to time and memory are the caller's.
"""

from __future__ import annotations

from pathlib import Path

from celeriac.families.reports.rendering.errors import (
    ChartFailed,
    DocumentBroken,
    LayoutInvalid,
    RenderingFailed,
    TemplateFailed,
    TooManyRows,
)
from celeriac.families.reports.rendering.model import (
    Column,
    ColumnKind,
    CsvOptions,
    Format,
    Layout,
    Progress,
    Rendered,
    Rows,
    Theme,
)

__all__ = [
    "ChartFailed",
    "Column",
    "ColumnKind",
    "CsvOptions",
    "DocumentBroken",
    "Format",
    "Layout",
    "LayoutInvalid",
    "Progress",
    "Rendered",
    "RenderingFailed",
    "Rows",
    "TemplateFailed",
    "Theme",
    "TooManyRows",
    "preview",
    "render",
]


def render(rows: Rows, layout: Layout, format: Format, path: Path, *, progress: Progress) -> Rendered:  # noqa: A002
    """Write the report to `path`, and return what it holds. A failure may leave an incomplete file there.

    Raises:
        RenderingFailed: the message says what to change.
    """
    _check_columns(rows)
    match format:
        case "pdf":
            from celeriac.families.reports.rendering.pdf import render_pdf as write
        case "xlsx":
            from celeriac.families.reports.rendering.xlsx import render_xlsx as write
        case "csv":
            from celeriac.families.reports.rendering.delimited import render_csv as write
        case "parquet":
            from celeriac.families.reports.rendering.parquet import render_parquet as write
        case "html":
            from celeriac.families.reports.rendering.page import render_html as write
    return write(rows, layout, path, progress)


def _check_columns(rows: Rows) -> None:
    names = [column.name for column in rows.columns]
    if not names:
        raise LayoutInvalid("the report has no columns: give its source at least one")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise LayoutInvalid(f"columns have the same name {twice[0]!r}: give each a name of its own")


def preview(pdf: Path, path: Path, *, page: int = 1, width: int = 800, password: str | None = None) -> None:
    """Write a page of the PDF to `path` as a PNG, `width` pixels wide.

    Raises:
        LayoutInvalid: the PDF has no such page.
        DocumentBroken: it cannot be read.
    """
    from celeriac.families.reports.rendering.finishing import write_preview

    write_preview(pdf, path, page=page, width=width, password=password)
