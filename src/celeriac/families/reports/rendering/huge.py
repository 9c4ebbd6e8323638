"""A PDF of very many rows: a designed page first, and pages of plain table behind it.

Rows are read once and not kept. Reportlab draws the pages. Typst draws those with texts that have to be shaped, such as
Arabic, or that Noto Sans lacks, such as Japanese. All pages look alike.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pikepdf

from celeriac.families.reports.rendering import finishing, fonts
from celeriac.families.reports.rendering.designed import Row, chart_of, second
from celeriac.families.reports.rendering.document import (
    Cells,
    created_of,
    data_of,
    heads,
    notice_of,
    source_of,
    title_of,
    totals_of,
)
from celeriac.families.reports.rendering.drawing import Chart
from celeriac.families.reports.rendering.geometry import PADDING, Page, ems, is_right, plan, wider
from celeriac.families.reports.rendering.model import NUMBERS, Progress
from celeriac.families.reports.rendering.summary import Summary
from celeriac.families.reports.rendering.table_pages import TablePages, known, rows_on
from celeriac.families.reports.rendering.text import one_line
from celeriac.families.reports.rendering.typesetting import built_in, typeset

_SHAPED_PAGES_AT_ONCE = 10
_ROWS_FOR_CHARTS = 5_000
_SAMPLE = 1_000
#: The first page is the designed one.
_FIRST = 2

Texts = Sequence[Sequence[str]]


def write_huge(
    summary: Summary,
    batches: Iterator[list[Row]],
    table: Sequence[int],
    cells: Cells,
    path: Path,
    progress: Progress,
    *,
    expected: int | None,
) -> tuple[int, Sequence[str]]:
    """Write the PDF, and return how many pages it has, and what it does not show as it should.

    `expected` is how many rows will come, if that is known.
    """
    with TemporaryFile(dir=path.parent) as spool:
        book = _Book(summary, table, cells, spool, expected)
        for batch in batches:
            book.add(batch)
            progress(summary.count, None)
        book.finish(path)
    return finishing.count_pages(path, summary.layout.password), book.warnings


class _Book:
    """The pages of one report. Those that Typst has to draw wait in a file until the number of all pages is known."""

    def __init__(self, summary: Summary, table: Sequence[int], cells: Cells, spool: Any, expected: int | None) -> None:
        self.expected = expected
        self.summary, self.table, self.cells, self.spool = summary, table, cells, spool
        self.columns = [summary.columns[index] for index in table]
        self.whole = [column.kind in NUMBERS for column in self.columns]
        self.titles = [summary.formats.title(column) for column in self.columns]
        self.rights = [is_right(column) for column in self.columns]
        self.sample: list[Row] = []
        self.waiting: list[Sequence[str]] = []
        self.shaped: list[Texts] = []
        self.segments: list[tuple[bool, int]] = []  # whether Typst draws them, and how many pages
        self.number = _FIRST
        self.unusual: set[str] = set()  # characters that have to be looked for in all fonts
        # Texts of a row stay on one line. In Arabic a no-break space would join two numbers, so it has marks around it.
        self.space = "\u200f\u00a0\u200f" if summary.formats.right_to_left else "\u00a0"
        self.plain = io.BytesIO()
        self.page: Page | None = None
        self.warnings: Sequence[str] = ()

    def add(self, batch: list[Row]) -> None:
        """Take some rows, and draw the pages that are full."""
        self.summary.add(batch)
        if len(self.sample) < _ROWS_FOR_CHARTS and isinstance(self.summary.layout.chart, dict):
            self.sample += batch[: _ROWS_FOR_CHARTS - len(self.sample)]
        columns = [list(map(self.cells[index], [row[index] for row in batch])) for index in self.table]
        self.waiting += zip(*columns, strict=True)
        if self.page is None:
            self._open()
        full = self.per_page
        start = 0
        while len(self.waiting) - start > full:
            self._draw(self.waiting[start : start + full], None)
            start += full
        del self.waiting[:start]

    def _open(self) -> None:
        layout, formats = self.summary.layout, self.summary.formats
        sample = [*self.waiting[:_SAMPLE], self._large_totals()]
        self.page = plan(self.columns, self.titles, sample, layout, wraps=False)
        self.per_page = rows_on(self.page)
        self.chrome = one_line(title_of(layout, formats), 90), created_of(layout, formats), source_of(layout, formats)
        title, created, source = self.chrome
        self.pages = TablePages(
            self.plain,
            self.page,
            title=title,
            created=created,
            source=source,
            page_word=formats.words.page,
            accent=layout.theme.colour,
            digits=len(str(self._expected_pages())),
        )
        always = set("".join((*self.chrome, *self.titles, formats.words.page, formats.words.total)))
        self.unusual |= always - known()
        is_plain = layout.theme.font == fonts.FAMILIES[0] and not formats.right_to_left
        self.only_shaped = not is_plain or not self.pages.can_draw(always)

    def _expected_pages(self) -> int:
        """Return about how many pages there will be; 10,000 if nobody knows how many rows there are."""
        return 10_000 if self.expected is None else _FIRST + self.expected // self.per_page

    def _large_totals(self) -> list[str]:
        """Totals of which none will probably be wider: there may be a hundred times as many rows."""
        row = totals_of(self.summary, self.cells, self.table) or [""] * len(self.table)
        sums = [self.summary.sums[index].value * 20 for index in self.table]
        return [
            self.cells[index](value) if text and right else ""
            for index, value, text, right in zip(self.table, sums, row, self.rights, strict=True)
        ]

    def _draw(self, rows: Texts, totals: Sequence[str] | None) -> None:
        signs = set("".join(map("".join, rows))).union(*(totals or ()))
        self.unusual |= signs - known()
        if self.only_shaped or not self.pages.can_draw(signs):
            self.shaped.append(rows)
            if len(self.shaped) >= _SHAPED_PAGES_AT_ONCE or totals:
                self._put_aside(totals)
        else:
            self._put_aside(None)
            self.pages.add(self.number, self.titles, self.rights, rows, totals)
            self._count(shaped=False, pages=1)
        self.number += 1

    def _put_aside(self, totals: Sequence[str] | None) -> None:
        if self.shaped:
            pickle.dump((self.shaped, totals), self.spool)
            self._count(shaped=True, pages=len(self.shaped))
            self.shaped = []

    def _count(self, *, shaped: bool, pages: int) -> None:
        if self.segments and not shaped and not self.segments[-1][0]:
            pages += self.segments.pop()[1]
        self.segments.append((shaped, pages))

    def finish(self, path: Path) -> None:
        """Draw the last page and the first one, and put all together."""
        totals = totals_of(self.summary, self.cells, self.table)
        self._draw(self.waiting, totals)
        self._put_aside(None)
        total = self.number - 1
        if any(not shaped for shaped, _ in self.segments):
            self.pages.close(total)
            document = pikepdf.open(self.plain)
        else:
            document = pikepdf.new()
        with document:
            self._insert_shaped(document, total)
            front = self._front(total)
            with pikepdf.open(io.BytesIO(front)) as first:
                document.pages.insert(0, first.pages[0])
            self._describe(document)
            finishing.save(document, path, self.summary.layout.password)

    def _insert_shaped(self, document: pikepdf.Pdf, total: int) -> None:
        self.spool.seek(0)
        place = 0
        for shaped, pages in self.segments:
            if shaped:
                rows, totals = pickle.load(self.spool)  # noqa: S301  # this process has written it
                content = self._typeset(rows, totals, place + _FIRST, total)
                with pikepdf.open(io.BytesIO(content)) as made:
                    for offset, page in enumerate(made.pages):
                        document.pages.insert(place + offset, page)
            place += pages

    def _typeset(self, pages: Sequence[Texts], totals: Sequence[str] | None, start: int, total: int) -> bytes:
        assert self.page
        cut = [[self._cut(row) for row in rows] for rows in pages]
        data = data_of(
            self.summary,
            self.page,
            (),
            {
                "title": "",
                "columns": heads(self.columns, self.page, self.summary.formats),
                "size": self.page.size,
                "rows": [row for rows in cut for row in rows],
                "totals": totals,
                "per-page": self.per_page,
            },
            head=False,
            figures=[],
            start=start,
            pages={"total": self.summary.formats.digits(str(total))},
        )
        return self._compile(data)

    def _cut(self, row: Sequence[str]) -> list[str]:
        assert self.page
        size = self.page.size
        rooms = [(width / size - 2 * PADDING) / wider(self.summary.layout) for width in self.page.widths]
        return [
            text if whole else _one_line(text, room - 0.2).replace(" ", self.space)
            for text, whole, room in zip(row, self.whole, rooms, strict=True)
        ]

    def _front(self, total: int) -> bytes:
        assert self.page
        pages = {"total": self.summary.formats.digits(str(total))}
        told = json.dumps(data_of(self.summary, self.page, (), None), ensure_ascii=False)
        notice = notice_of(self.unusual.union(told), self.summary.layout, self.summary.formats)
        self.warnings = notice.warnings
        front = b""
        for charts in self._charts():
            front = self._compile(data_of(self.summary, self.page, charts, None, pages=pages, notice=notice.shown))
            with pikepdf.open(io.BytesIO(front)) as made:
                if len(made.pages) == 1:
                    break  # on small paper there may be no room for a chart
        return front

    def _charts(self) -> Iterator[list[Chart]]:
        """Yield the charts of the first page; then fewer, for paper that has no room for them."""
        assert self.page
        charts = chart_of(self.summary, self.sample, self.page, height=250)
        more = second(self.summary, self.page) if charts and self.summary.layout.chart == "auto" else []
        yield charts + more
        yield charts
        yield []

    def _compile(self, data: dict[str, Any]) -> bytes:
        layout = self.summary.layout
        return typeset(built_in(), data, layout.theme, archival=False, tagged=False, moment=layout.created_at)

    def _describe(self, document: pikepdf.Pdf) -> None:
        layout, formats = self.summary.layout, self.summary.formats
        info = document.docinfo
        for key in list(info.keys()):
            del info[key]
        info["/Title"] = title_of(layout, formats)
        if layout.author:
            info["/Author"] = one_line(layout.author, 200)
        if layout.created_at:
            info["/CreationDate"] = pikepdf.String(f"D:{formats.local(layout.created_at):%Y%m%d%H%M%S}")
        document.Root["/Lang"] = pikepdf.String(str(formats.locale).replace("_", "-"))
        document.Root["/ViewerPreferences"] = pikepdf.Dictionary(DisplayDocTitle=True)


def _one_line(text: str, room: float) -> str:
    if len(text) * 1.1 <= room or ems(text) <= room:
        return text
    room -= 0.9
    for end, sign in enumerate(text):
        room -= ems(sign)
        if room < 0:
            return text[:end].rstrip() + "…"
    return text
