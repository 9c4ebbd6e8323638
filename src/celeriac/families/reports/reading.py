"""Reads the source of a report once, into a file of rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from celeriac.core.errors import UnknownUpload
from celeriac.families.reports.errors import DataInvalid
from celeriac.families.reports.request import NamedRef, RowsRef, SourceRef, SqlRef, UploadRef
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.sources.data import Data, Patience
from celeriac.families.reports.sources.named import Sources, read_query
from celeriac.families.reports.sources.rows import data_of
from celeriac.families.reports.sources.upload import read_upload
from celeriac.families.reports.spool import Spool, SpoolLimits, SpoolWriter
from celeriac.storage.local import write
from celeriac.storage.uploads import Uploads

#: Takes how many rows were read, and of how many if that is known.
Report = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading needs: the named sources, the settings, and the uploads (asked for when one is read)."""

    sources: Sources
    own: ReportsSettings
    uploads: Callable[[], Uploads]

    def about(self, source: SourceRef) -> str:
        """Return what a named source says of itself, or nothing."""
        return self.sources.get(source.name).about if isinstance(source, NamedRef) else ""

    async def read(self, source: SourceRef, folder: Path, report: Report) -> tuple[Spool, Mapping[str, str]]:
        """Read all rows into a file in `folder`. Return them, and what was found out about the source.

        Raises:
            ReportInvalid, SourceUnavailable, QueryFailed, DataInvalid, DataTooLarge: say what is wrong.
        """
        limits = SpoolLimits(
            rows=self.own.reports_max_rows, cell=self.own.reports_max_cell, megabytes=self.own.reports_max_data_mb
        )
        async with self._opened(source, folder) as data:
            writing = SpoolWriter(
                folder / "rows", data.columns, limits, texts=data.texts, decimal_comma=data.decimal_comma
            )
            with writing as writer:
                async for batch in data.batches:
                    writer.write(batch)
                    report(writer.count, data.total)
                    await asyncio.sleep(0)  # a source that never waits would keep the progress from being published
                return writer.finish(), data.details

    @asynccontextmanager
    async def _opened(self, source: SourceRef, folder: Path) -> AsyncGenerator[Data]:
        own = self.own
        patience = Patience(own.reports_query_timeout)
        async with AsyncExitStack() as stack:
            if isinstance(source, RowsRef):
                yield data_of(source.rows, source.columns)
            elif isinstance(source, NamedRef):
                named = self.sources.get(source.name)
                reading = named.read(named.checked(source.parameters), connections(own), patience)
                yield await stack.enter_async_context(reading)
            elif isinstance(source, SqlRef):
                reading = read_query(source.connection, source.sql, source.typed(), connections(own), patience)
                yield await stack.enter_async_context(reading)
            else:
                yield await stack.enter_async_context(await self._upload(source, folder))

    async def _upload(self, source: UploadRef, folder: Path) -> AbstractAsyncContextManager[Data]:
        try:
            upload = await self.uploads().get(source.upload)
            path = folder / "upload"
            await write(path, self.uploads().stream(upload))
        except (UnknownUpload, FileNotFoundError):
            raise DataInvalid(
                f"upload {source.upload} is gone; uploads are kept for CELERIAC_UPLOAD_RETENTION"
            ) from None
        return read_upload(
            upload.name,
            upload.content_type,
            path,
            sheet=source.sheet,
            unpacked_bytes=self.own.reports_unpacked_mb * 1_000_000,
            longest_cell=self.own.reports_max_cell,
        )


def connections(own: ReportsSettings) -> dict[str, str]:
    """Return the URLs of the named connections."""
    return {name: url.get_secret_value() for name, url in own.reports_connections.items()}
