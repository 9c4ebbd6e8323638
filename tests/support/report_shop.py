"""An application of a shop with reports, whose database and settings the environment names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from celeriac import Celeriac, JobContext, Settings, load_settings
from celeriac.asgi import include
from celeriac.families.reports import ReportsFamily, ReportsSettings
from celeriac.settings import read

QUERY = """
SELECT id, day, country, total FROM orders
WHERE day >= :since AND (:country = '' OR country = :country) ORDER BY id
"""

LEDGER = "SELECT id, day, total, pg_sleep(:seconds) IS NULL AS slept FROM ledger ORDER BY id"


class ReportShop:
    """The application, its family, and an API of it."""

    def __init__(self, settings: Settings, own: ReportsSettings, name: str = "shop") -> None:
        self.app = Celeriac(name, settings=settings)
        self.reports = self.app.include_family(ReportsFamily, own)
        self.reports.query(
            "orders",
            QUERY,
            connection="shop",
            types={"since": date},
            defaults={"since": date(2026, 1, 1), "country": ""},
            about="Orders since a day",
        )
        self.reports.source(numbers)
        self.reports.source(endless)
        self.reports.source(flaky)
        self.reports.query("ledger", LEDGER, connection="bank", types={"seconds": float}, defaults={"seconds": 0.0})
        self.notes: Any = self.app.job(name="shop.note")(note)

    @property
    def api(self) -> FastAPI:
        api = FastAPI(lifespan=self.app.lifespan)
        include(api, self.app)
        return api


async def numbers(count: int, price: Decimal = Decimal("1.50")) -> AsyncGenerator[dict[str, Any]]:
    """Numbered rows."""
    for number in range(1, count + 1):
        yield {"number": number, "day": date(2026, 1, 1) + timedelta(days=number % 28), "price": price * number}


async def endless() -> AsyncGenerator[dict[str, Any]]:
    """Rows of which there is no end in sight."""
    for number in range(1000):
        yield {"number": number}
    await asyncio.Event().wait()


async def flaky(marker: str) -> AsyncGenerator[dict[str, Any]]:
    """Rows of a source that fails at first, and is well once there is a file."""
    yield {"number": 1}
    if not await asyncio.to_thread(Path(marker).exists):
        raise RuntimeError("not yet")
    yield {"number": 2}


async def note(job: JobContext, customer: str, report: dict[str, Any]) -> str:
    """What a shop does with a report that was made."""
    return f"{customer} gets {report['files'][0]['name']} of {report['rows']} rows"


def __getattr__(name: str) -> Any:
    """An application as a process imports it: the shop, `other` with reports of its own, or `timed` with a schedule."""
    if name not in ("app", "other", "timed"):
        raise AttributeError(name)
    shop = ReportShop(load_settings(), read(ReportsSettings), "other" if name == "other" else "shop")
    if name == "timed":
        shop.app.schedule("often", shop.reports.call({"source": {"name": "orders"}, "formats": ["csv"]}), every=1)
    app = globals()[name] = shop.app
    return app
