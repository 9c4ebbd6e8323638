"""Rows and layouts for tests of reports, and what can be read from a rendered file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdfium2

from celeriac.families.reports.rendering import Column, Format, Layout, Rendered, render

MADE = datetime(2026, 12, 1, 2, 10, tzinfo=UTC)


@dataclass
class Table:
    """Rows in memory, in batches of `size`."""

    columns: Sequence[Column]
    rows: Sequence[tuple[object, ...]]
    size: int = 1_000

    def batches(self) -> Iterator[list[tuple[object, ...]]]:
        for start in range(0, len(self.rows), self.size):
            yield list(self.rows[start : start + self.size])


def sales(months: int = 11, regions: Sequence[str] = ("North", "South")) -> Table:
    """Revenue by month and region: 1,000.00 in the first month, and 100.00 more in each that follows."""
    columns = [
        Column("month", "Month", "date"),
        Column("region", "Region"),
        Column("revenue", "Revenue", "money", currency="EUR"),
        Column("orders", "Orders", "integer"),
        Column("margin", "Margin", "percent"),
    ]
    rows = [
        (date(2026, 1 + month, 1), region, Decimal(1_000 + 100 * month), 10 + month, 0.125)
        for month in range(months)
        for region in regions
    ]
    return Table(columns, rows)


def layout(**options: Any) -> Layout:
    """A layout with all but a chart, which costs the most."""
    return Layout(
        **{"title": "Sales", "source": "shop", "created_at": MADE, "author": "Acme", "chart": "off"} | options
    )


def write(table: Table, to: Layout, kind: Format, path: Path) -> Rendered:
    """Render, and drop the progress."""
    return render(table, to, kind, path, progress=lambda done, total: None)


def page_texts(path: Path, password: str | None = None) -> list[str]:
    """The text of each page."""
    with pypdfium2.PdfDocument(path, password=password) as document:
        return [page.get_textpage().get_text_bounded() for page in document]


Box = tuple[float, float, float, float]


def box_of(path: Path, text: str, number: int = 0) -> Box:
    """Left, bottom, right and top of the first place of the text on a page."""
    with pypdfium2.PdfDocument(path) as document:
        page = document[number].get_textpage()
        found = page.search(text, match_case=True).get_next()
        assert found, f"{text!r} is not on the page: {page.get_text_bounded()!r}"
        each = [page.get_charbox(found[0] + place) for place in range(found[1])]
        return min(b[0] for b in each), min(b[1] for b in each), max(b[2] for b in each), max(b[3] for b in each)
