"""The application of workers that run syncs. Its source has 100 pages, and notes each that it is asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from celeriac import Celeriac
from celeriac.families.sync import SyncFamily
from celeriac.families.sync.pages import Asked, Page, Place
from tests.support.sync_jobs import EACH, PAGES, definition

#: Where pages are noted, and whether the source stops for ever before some page.
FOLDER = Path(os.environ["SYNC_TEST_FOLDER"])
STOPS_AT = int(os.environ.get("SYNC_TEST_STOPS_AT", "-1"))


class NotingSource:
    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        for number in range(asked.place.page, PAGES):
            with (FOLDER / "asked").open("a") as file:
                file.write(f"{number}\n")
            if number == STOPS_AT:
                await asyncio.Event().wait()
            records = [{"id": n, "name": f"record {n}"} for n in range(number * EACH, (number + 1) * EACH)]
            after = None if number == PAGES - 1 else Place(token=f"after {number}", page=number + 1)
            yield Page(records=records, after=after, page=number)

    async def close(self) -> None:
        pass


app = Celeriac("shop")
app.include_family(SyncFamily).add(
    definition({"name": "orders", "primary_key": "id"}, {"name": "log", "mode": "append"}),
    source=lambda sync: NotingSource(),
)
