"""One rendering in a process of its own: `python -m benchmarks.support.report_runs KIND SYSTEM ROWS`, answered as JSON.

`plain` is what one writes with the library alone, for the same rows. The time does not include imports; CPU time does.
Designed reports are made one by one, each when a line comes.
"""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typst
import xlsxwriter

from benchmarks.support.procfs import peak_mib
from celeriac.families.reports.rendering import Column, Format, Layout, fonts, render, typesetting

MOMENT = datetime(2026, 12, 1, 12, tzinfo=UTC)
_HEADS = ("id", "day", "region", "customer", "status", "orders", "revenue", "margin")
REPEATS = 20

Row = tuple[int, date, str, str, str, int, float, float]


@dataclass
class Orders:
    """That many orders of one year, made as they are read."""

    count: int
    seed: int = 1

    @property
    def columns(self) -> list[Column]:
        """Eight columns."""
        kinds: tuple[Any, ...] = ("integer", "date", "text", "text", "text", "integer", "money", "percent")
        return [
            Column(name, "", kind, currency="EUR" if kind == "money" else None)
            for name, kind in zip(_HEADS, kinds, strict=True)
        ]

    def rows(self) -> Iterator[Row]:
        """Make the rows."""
        chance = random.Random(self.seed)
        first = date(2026, 1, 1)
        for number in range(self.count):
            day = first + timedelta(days=number * 330 // self.count)
            region, status = ("North", "South", "East", "West")[number % 4], ("open", "paid", "sent")[number % 3]
            amount = round(chance.uniform(5, 900), 2)
            customer = f"Customer {chance.randint(1, 5000)}"
            yield number + 1, day, region, customer, status, chance.randint(1, 99), amount, chance.uniform(0.05, 0.3)

    def batches(self) -> Iterator[list[tuple[object, ...]]]:
        """Yield the rows by thousands."""
        batch: list[tuple[object, ...]] = []
        for row in self.rows():
            batch.append(row)
            if len(batch) == 1_000:
                yield batch
                batch = []
        if batch:
            yield batch


def _texts(row: Row) -> list[str]:
    number, day, region, customer, status, orders, revenue, margin = row
    return [str(number), f"{day:%b %d, %Y}", region, customer, status, str(orders), f"{revenue:,.2f}", f"{margin:.1%}"]


def _plain_pdf(orders: Orders, path: Path) -> None:
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import LongTable, SimpleDocTemplate, TableStyle

    style = TableStyle(
        [
            ("FONTSIZE", (0, 0), (-1, -1), 8),
            ("ALIGN", (5, 0), (-1, -1), "RIGHT"),
            ("LINEBELOW", (0, 0), (-1, 0), 1, colors.blue),
        ]
    )
    chunk: list[list[str]] = []
    story: list[Any] = []

    def flush() -> None:
        heights = [16] * (len(chunk) + 1)
        widths = [48, 68, 48, 96, 48, 48, 72, 48]
        story.append(LongTable([list(_HEADS), *chunk], widths, heights, style=style, repeatRows=1))

    for row in orders.rows():
        chunk.append(_texts(row))
        if len(chunk) == 500:
            flush()
            chunk = []
    if chunk:
        flush()
    SimpleDocTemplate(str(path), pagesize=A4, invariant=1).build(story)  # pyright: ignore[reportUnknownMemberType]


def _plain_xlsx(orders: Orders, path: Path) -> None:
    book: Any = xlsxwriter.Workbook(str(path), {"constant_memory": True})
    sheet = book.add_worksheet()
    styles = [
        book.add_format({"num_format": kind}) for kind in ("0", "yyyy-mm-dd", "", "", "", "#,##0", "#,##0.00", "0.0%")
    ]
    sheet.write_row(0, 0, _HEADS)
    for line, row in enumerate(orders.rows(), 1):
        for place, value in enumerate(row):
            sheet.write(line, place, value, styles[place])
    book.close()


def _plain_csv(orders: Orders, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADS)
        writer.writerows(orders.rows())


def _ours(kind: Format) -> Callable[[Orders, Path], None]:
    def write(orders: Orders, path: Path) -> None:
        layout = Layout(title="Orders", source="shop", created_at=MOMENT)
        render(orders, layout, kind, path, progress=lambda done, total: None)

    return write


_SYSTEMS: dict[tuple[str, str], Callable[[Orders, Path], None]] = {
    ("pdf", "plain"): _plain_pdf,
    ("pdf", "celeriac"): _ours("pdf"),
    ("xlsx", "plain"): _plain_xlsx,
    ("xlsx", "celeriac"): _ours("xlsx"),
    ("csv", "plain"): _plain_csv,
    ("csv", "celeriac"): _ours("csv"),
}


def _designed(system: str, count: int, path: Path) -> Iterator[float]:
    """Make designed reports in this process, and yield the seconds of each. No two have the same rows."""
    if system == "celeriac":
        for number in range(REPEATS):
            yield _timed(lambda number=number: _render_designed(Orders(count, number), number, path))
        return
    (source := path.with_suffix(".typ")).write_bytes(typesetting.built_in())
    for inputs in _inputs(count, path):  # all were made before: Typst remembers its last ten compilations
        yield _timed(
            lambda inputs=inputs: path.write_bytes(
                typst.compile(
                    str(source),
                    font_paths=fonts.folders(),
                    ignore_system_fonts=True,
                    sys_inputs={"report": json.dumps(inputs)},
                )
            )
        )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _render_designed(orders: Orders, number: int, path: Path) -> None:
    layout = Layout(title=f"Orders {number}", source="shop", created_at=MOMENT)
    render(orders, layout, "pdf", path, progress=lambda done, total: None)


def _inputs(count: int, path: Path) -> list[Any]:
    """Return what our template gets for each of the reports."""
    from celeriac.families.reports.rendering import designed

    kept: list[Any] = []
    typeset = typesetting.typeset

    def keep(source: bytes, data: Any, *args: Any, **options: Any) -> bytes:
        kept.append(data)
        return typeset(source, data, *args, **options)

    designed.typeset = keep
    for number in range(REPEATS):
        _render_designed(Orders(count, number), number, path)
    designed.typeset = typeset
    return kept


def main(kind: str, system: str, count: int) -> None:
    """Render once, and print what it took. Make designed reports one by one, each when a line comes."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"report.{kind}")
        if kind == "designed":
            runs = _designed(system, count, path)
            for _, seconds in zip(sys.stdin, runs, strict=False):
                print(json.dumps({"seconds": seconds, **_figures(path)}), flush=True)
        else:
            seconds = _timed(lambda: _SYSTEMS[kind, system](Orders(count), path))
            print(json.dumps({"seconds": seconds, **_figures(path)}))


def _figures(path: Path) -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"peak": peak_mib([os.getpid()]), "cpu": used.ru_utime + used.ru_stime, "bytes": path.stat().st_size}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
