"""An application of syncs whose jobs run in the test's process, and sources that give what a test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.database.engine import Database
from celeriac.engine.in_process import InProcessJobs
from celeriac.engine.ran_job import RanJob
from celeriac.families.sync import SyncFamily, SyncSettings
from celeriac.families.sync.pages import Asked, Page, Place, Record

#: Pages of the source of workers, and records of each.
PAGES, EACH = 100, 10


class ListedSource:
    """A source whose pages are listed. `asked` has what was asked of it."""

    def __init__(self, pages: dict[str, Sequence[Any]], *, source_time_ms: int | None = None) -> None:
        """A page is a list of records, or an exception that is raised in its place."""
        self.pages_of = pages
        self.source_time_ms = source_time_ms
        self.asked: list[Asked] = []
        self.is_closed = False

    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        self.asked.append(asked)
        listed = self.choose(asked)
        for number in range(asked.place.page, len(listed)):
            found = listed[number]
            if isinstance(found, Exception):
                raise found
            after = None if number == len(listed) - 1 else Place(token=number + 1, page=number + 1)
            yield Page(records=found, after=after, page=number, source_time_ms=self.source_time_ms)

    def choose(self, asked: Asked) -> Sequence[Any]:
        name = asked.stream if asked.parent is None else f"{asked.stream}/{asked.parent['id']}"
        return self.pages_of[name]

    async def close(self) -> None:
        self.is_closed = True


def numbered(pages: int, each: int, **fields: Callable[[int], Any]) -> list[list[Record]]:
    """Pages of records with an `id` from 1, a `name`, and further fields of that number."""
    return [
        [
            {"id": n, "name": f"record {n}", **{name: of(n) for name, of in fields.items()}}
            for n in range(page * each + 1, (page + 1) * each + 1)
        ]
        for page in range(pages)
    ]


def definition(*streams: dict[str, Any], name: str = "shop", connection: str = "main", **more: Any) -> dict[str, Any]:
    destination = more.pop("destination", {"connection": connection})
    return {"name": name, "source": {"python": "given"}, "streams": streams, "destination": destination, **more}


class SyncJobs:
    """The application. Each run is a job that has ended."""

    def __init__(self, folder: Path, connections: dict[str, str], **own: Any) -> None:
        nowhere = SecretStr("redis://127.0.0.1:1/0")
        settings = Settings(broker_url=nowhere, data_dir=folder, storage_reserve_bytes=0)
        self.app = Celeriac("shop", settings=settings)
        self.family = self.app.include_family(SyncFamily, SyncSettings(sync_connections=connections, **own))
        self.app.stand_in = self.jobs = InProcessJobs(
            self.app.specs, default_queue=lambda: "celery", open_artifact=self.app.open_artifact
        )
        self.source = ListedSource({})
        self.url = connections.get("main", "")

    @property
    def database(self) -> Database:
        return self.family.connections.get("main")

    def define(self, *streams: dict[str, Any], **more: Any) -> None:
        self.family.add(definition(*streams, **more), source=lambda sync: self.source)

    def redefine(self, *streams: dict[str, Any], **more: Any) -> None:
        """Define the sync anew, as a deployment with another file does."""
        self.family.definitions._named.clear()  # pyright: ignore[reportPrivateUsage] (nothing else takes one away)
        self.define(*streams, **more)

    async def run(
        self, pages: dict[str, Sequence[Any]] | None = None, *, name: str = "shop", **arguments: Any
    ) -> RanJob:
        """Run a sync whose source has these pages."""
        if pages is not None:
            self.source = ListedSource(pages, source_time_ms=self.source.source_time_ms)
        before = len(self.jobs.all)
        await self.app.client.submit(self.family.call(name, **arguments))
        return self.jobs.all[before]

    async def outcome(self, pages: dict[str, Sequence[Any]] | None = None, **arguments: Any) -> dict[str, Any]:
        """The result of a run that has succeeded."""
        ran = await self.run(pages, **arguments)
        assert ran.error is None, ran.error
        return ran.result

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return await self.database.read(lambda c: [tuple(row) for row in c.exec_driver_sql(query).fetchall()])

    async def close(self) -> None:
        await self.family.connections.dispose()
