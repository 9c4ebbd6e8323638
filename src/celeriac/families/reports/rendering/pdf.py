"""PDF: designed by Typst up to a limit, and above it with a summary by Typst before pages of plain table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from celeriac.families.reports.rendering import finishing
from celeriac.families.reports.rendering.columns import chosen
from celeriac.families.reports.rendering.coverage import check_font
from celeriac.families.reports.rendering.designed import Row, design
from celeriac.families.reports.rendering.errors import LayoutInvalid, TooManyRows
from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.model import Counted, Layout, Progress, Rendered, Rows
from celeriac.families.reports.rendering.summary import Summary

#: Rows that only Typst can lay out: those of archival documents and of the user's own templates. Each thousand of them
#: needs some 150 MB.
_TYPST_AT_MOST = 10_000


def render_pdf(rows: Rows, layout: Layout, path: Path, progress: Progress) -> Rendered:
    """Write the report as PDF."""
    if layout.archival and layout.password is not None:
        raise LayoutInvalid("an archival PDF cannot be encrypted: leave out `archival` or `password`")
    check_font(layout.theme)
    formats = Formats(layout.locale, layout.timezone)
    columns = list(rows.columns)
    summary = Summary(columns, layout, formats)
    table = chosen(columns, layout.columns)
    cells = [formats.cell(column) for column in columns]
    only_typst = layout.archival or layout.template is not None
    limit = max(layout.designed_rows, _TYPST_AT_MOST) if only_typst else layout.designed_rows
    batches = rows.batches()
    first: list[Row] = []
    for batch in batches:
        first += batch
        if len(first) > limit:
            break
        summary.add(batch)
        progress(len(first), None)
    if len(first) <= limit:
        content, warnings = design(summary, first, table, cells)
        finishing.write(content, path, layout.password)
        pages = finishing.count_pages(path, layout.password)
        return Rendered(len(first), pages, path.stat().st_size, "typst", warnings)
    if only_typst:
        raise TooManyRows(_too_many(layout, limit))
    from celeriac.families.reports.rendering.huge import write_huge

    summary = Summary(columns, layout, formats)
    expected = rows.count if isinstance(rows, Counted) else None
    batches = _in_pieces(first, batches)
    pages, warnings = write_huge(summary, batches, table, cells, path, progress, expected=expected)
    return Rendered(summary.count, pages, path.stat().st_size, "reportlab", warnings)


def _too_many(layout: Layout, limit: int) -> str:
    what = "an archival PDF" if layout.archival else "a PDF by a template of your own"
    leave = "`archival`" if layout.archival else "`template`"
    return f"{what} holds at most {limit} rows: ask for fewer rows, leave out {leave}, or choose the format xlsx"


def _in_pieces(first: Sequence[Row], batches: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Yield all rows again, in batches that are not too large."""
    for batch in chain((first,), batches):
        for start in range(0, len(batch), 5_000):
            yield list(batch[start : start + 5_000])
