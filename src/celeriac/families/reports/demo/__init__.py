"""Demo of reports: 100,000 orders in SQLite become a PDF, an XLSX and a CSV, and each is read again and added up."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import tempfile
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx2
from rich.console import Console

from celeriac.demo import Demo, DemoFailed, Outcome, client_of, follow

_FORMATS = ("pdf", "xlsx", "csv")
_FIRST_DAY = date(2025, 1, 1)
#: Countries by their share of the orders.
_COUNTRIES = (*["Germany"] * 9, *["France"] * 6, *["Japan"] * 4, *["Brazil"] * 3, "Kenya")
_PRODUCTS = ("Celery root", "Carrot", "Leek", "Parsnip", "Beetroot", "Fennel", "Kale")
_CUSTOMERS = ("Müller GmbH", "Dupont & fils", "O'Brien Ltd", "Silva Ltda", "Njeri Traders", "Ömer Bakkal")
#: The shop opens in Tokyo in the last twentieth of the orders. Pages with Japanese take another, slower engine.
_IN_TOKYO = "山田商店"
_CHANNELS = ("web", "shop", "phone")
_LAYOUT = {
    "title": "Orders",
    "subtitle": "All orders of a shop",
    "source": "shop.db",
    "figures": ["total", "items"],
    "period": "day",
}
_QUERY = """-- connection: shop
-- about: All orders, by day
SELECT id, day, customer, country, product, channel, items, total FROM orders ORDER BY day, id
"""


class ReportsDemo(Demo):
    """A demo that makes one report in three formats, and compares each file with the database."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=_count, default=100_000, metavar="N", help="orders (default: 100000)")
        parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to put the files")

    def __init__(self, options: Namespace) -> None:
        self._rows: int = options.rows
        self._output: Path = options.output or Path(tempfile.mkdtemp(prefix="celeriac-reports-demo-"))
        self._cents = 0

    @asynccontextmanager
    async def surroundings(self) -> AsyncGenerator[Mapping[str, str]]:
        with tempfile.TemporaryDirectory(prefix="celeriac-shop-") as folder:
            database, queries = Path(folder, "shop.db"), Path(folder, "queries")
            self._cents = await asyncio.to_thread(_fill, database, self._rows)
            await asyncio.to_thread(queries.mkdir)
            await asyncio.to_thread(Path(queries, "orders.sql").write_text, _QUERY)
            yield {
                "CELERIAC_REPORTS_CONNECTIONS": f"shop=sqlite:///{database}",
                "CELERIAC_REPORTS_QUERIES": str(queries),
            }

    async def run(self, api: str, console: Console) -> Outcome:
        async with client_of(api) as client:
            began = time.monotonic()
            job = await _submit(client)
            console.print(f"POST /reports → 202, job {job}")
            await follow(client, job, console, doing="reporting", total=self._rows)
            seconds = time.monotonic() - began
            outcome: dict[str, Any] = (await client.get(f"/reports/{job}")).json()["outcome"]
            files = {file["format"]: await _fetched(client, job, file, self._output) for file in outcome["files"]}
        faults = await asyncio.to_thread(self._faults, outcome, files)
        for form, path in files.items():
            console.print(f"  {form:<5}{path}", soft_wrap=True)
        pages = next(file["pages"] for file in outcome["files"] if file["format"] == "pdf")
        summary = (
            f"{self._rows:,} orders in {seconds:.1f} s: {pages:,} pages, with {outcome['peak_mb']:.0f} MB of memory"
        )
        return Outcome(
            ok=not faults,
            summary="; ".join([summary, *faults]),
            seconds=seconds,
            facts={
                "rows": outcome["rows"],
                "pages": pages,
                **{form: str(path) for form, path in files.items()},
                "peak_mb": outcome["peak_mb"],
            },
        )

    def _faults(self, outcome: Mapping[str, Any], files: Mapping[str, Path]) -> list[str]:
        """Read each file again. Return what is wrong: rows that are missing, or another sum."""
        expected = (self._rows, self._cents)
        found: dict[str, tuple[int, int]] = {"csv": _in_csv(files["csv"]), "xlsx": _in_xlsx(files["xlsx"])}
        faults = [f"{form} has {have}, and not {expected}" for form, have in found.items() if have != expected]
        ids = _ids_in_pdf(files["pdf"], self._rows)
        if ids != self._rows:
            faults.append(f"pdf has {ids} of {self._rows} orders")
        if outcome["rows"] != self._rows:
            faults.append(f"the result says {outcome['rows']} rows")
        return faults


def _fill(path: Path, count: int) -> int:
    """Make the shop's database, and return the sum of all orders in cents."""
    cents = 0
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE orders (id TEXT, day TEXT, customer TEXT, country TEXT, product TEXT, channel TEXT,"
            " items INTEGER, total REAL)"
        )
        rows: list[tuple[Any, ...]] = []
        for number in range(1, count + 1):
            total = 500 + number * 7919 % 25_000 + number // 100
            cents += total
            day = _FIRST_DAY + timedelta(days=number * 600 // count)
            picks = (
                _IN_TOKYO if number * 20 > count * 19 and number % 6 == 2 else _CUSTOMERS[number % 6],
                _COUNTRIES[number % len(_COUNTRIES)],
                _PRODUCTS[number % 7],
                _CHANNELS[number % 3],
            )
            rows.append((_id(number), day.isoformat(), *picks, number % 9 + 1, total / 100))
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    return cents


def _id(number: int) -> str:
    return f"A{number:07}"


async def _submit(client: httpx2.AsyncClient) -> str:
    columns = {"total": {"currency": "EUR"}, "id": {"title": "Order"}}
    asked = {"source": {"name": "orders"}, "formats": _FORMATS, "layout": _LAYOUT, "columns": columns}
    response = await client.post("/reports", json={**asked, "file_name": "orders"})
    if response.status_code != 202:
        raise DemoFailed(f"the API answered {response.status_code}: {response.text}")
    return str(response.json()["id"])


async def _fetched(client: httpx2.AsyncClient, job: str, file: Mapping[str, Any], folder: Path) -> Path:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    path = folder / file["name"]
    async with client.stream("GET", f"/jobs/{job}/artifacts/{file['name']}") as response:
        if response.status_code != 200:
            raise DemoFailed(f"the API answered {response.status_code} for {file['name']}")
        with await asyncio.to_thread(path.open, "wb") as target:
            async for piece in response.aiter_bytes():
                target.write(piece)
    return path


def _in_csv(path: Path) -> tuple[int, int]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return len(rows), int(sum(Decimal(row[-1]) for row in rows) * 100)


def _in_xlsx(path: Path) -> tuple[int, int]:
    import python_calamine

    count, cents = 0, 0
    with cast(Any, python_calamine).load_workbook(str(path)) as book:
        for row in book.get_sheet_by_index(0).iter_rows():
            if isinstance(row[0], str) and row[0][:1] == "A" and row[0][1:].isdecimal():  # neither head nor totals
                count, cents = count + 1, cents + round(row[7] * 100)
    return count, cents


def _ids_in_pdf(path: Path, count: int) -> int:
    """Count the orders whose ids stand in the PDF."""
    import pypdfium2

    left = {_id(number) for number in range(1, count + 1)}
    document = cast(Any, pypdfium2).PdfDocument(str(path))
    try:
        for page in document:
            text = page.get_textpage()
            left.difference_update(text.get_text_range().split())
            text.close()
            page.close()
    finally:
        document.close()
    return count - len(left)


def _count(text: str) -> int:
    number = int(text)
    if not 100 <= number <= 1_000_000:
        raise ArgumentTypeError("between 100 and 1,000,000")
    return number
