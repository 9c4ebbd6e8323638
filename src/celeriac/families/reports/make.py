"""Makes one report: reads its source, writes each format, and publishes the files when all of them are there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from celeriac.client.options import EnqueueOptions
from celeriac.core.artifact import Artifact
from celeriac.core.context import JobContext
from celeriac.core.errors import StorageFull, StorageUnavailable
from celeriac.core.records import JobRecord
from celeriac.engine.app import JobApp
from celeriac.families.reports.cached import Cached, key_of
from celeriac.families.reports.checking import following_call
from celeriac.families.reports.errors import DataTooLarge, ReportCrashed
from celeriac.families.reports.limits import Workplace, memory_limit, peak_mb
from celeriac.families.reports.outcome import ReportFile, ReportOutcome
from celeriac.families.reports.output import Output, Progress
from celeriac.families.reports.passwords import opened
from celeriac.families.reports.publishing import publish
from celeriac.families.reports.reading import Reader
from celeriac.families.reports.rendering import Format
from celeriac.families.reports.request import NamedRef, ReportRequest, SqlRef, UploadRef
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.spool import Spool
from celeriac.storage.links import Link
from celeriac.storage.local import write
from celeriac.storage.location import is_full
from celeriac.storage.names import checked_name

PREVIEW = "preview.png"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that is ready to be published, and how it came to be. Under `key` it is found again; None: it is not."""

    format: str
    name: str
    path: Path
    pages: int | None
    key: str | None
    reused: bool
    warnings: Sequence[str]


class Maker:
    """Makes reports in the process of their jobs."""

    def __init__(self, app: JobApp, own: ReportsSettings, reader: Reader) -> None:
        self._app = app
        self._own = own
        self._reader = reader
        self._cached = Cached(lambda: app.storage.artifacts)

    async def make(self, job: JobContext, request: ReportRequest) -> ReportOutcome:
        """Make the report of a job.

        Raises:
            ReportCrashed: an earlier attempt ended its process.
            DataTooLarge, DataInvalid, QueryFailed, SourceUnavailable, ReportInvalid: say what is wrong.
        """
        began = time.monotonic()
        limit = self._own.reports_memory_mb
        with ExitStack() as stack:
            place = stack.enter_context(Workplace(self._own.reports_scratch, job.id, job.attempt))
            if place.has_crashed:
                with suppress(StorageFull, StorageUnavailable):
                    await self._app.storage.artifacts.delete(job.id)  # it may have published a part
                raise ReportCrashed(
                    f"its process ended while it worked on the report, most likely at its limit of {limit:,} MB "
                    "(CELERIAC_REPORTS_MEMORY_MB)"
                )
            stack.enter_context(memory_limit(limit))
            try:
                outcome = await self._make(job, request, place.folder)
            except MemoryError:
                raise DataTooLarge(
                    f"the report needs more than {limit:,} MB of memory; CELERIAC_REPORTS_MEMORY_MB allows more"
                ) from None
            except OSError as error:
                if not is_full(error):
                    raise
                raise StorageFull(
                    f"the disk of {place.folder.parent} is full: make room there, or set CELERIAC_REPORTS_SCRATCH to "
                    "another place"
                ) from error
        outcome.seconds = round(time.monotonic() - began, 3)
        if request.then is not None:
            await follow(self._app, job.id, request, outcome)
        return outcome

    async def _make(self, job: JobContext, request: ReportRequest, folder: Path) -> ReportOutcome:
        steps = 1 + len(request.formats)  # each has all rows to go through

        def read(done: int, total: int | None) -> None:
            job.progress(done, total and total * steps, "reading")

        password = await opened(request, self._own.reports_passwords, self._app.storage)
        spool, details = await self._reader.read(request.source, folder, read)
        about = self._reader.about(request.source)
        output = Output(request, self._own, spool, _said(request, details), password, about=about)
        made: list[_Made] = []
        for step, form in enumerate(request.formats, start=1):

            def written(done: int, _: int | None, step: int = step, form: str = form) -> None:
                job.progress(spool.count * step + min(done, spool.count), spool.count * steps, form)

            made.append(await self._written(request, spool, output, folder, form, written))
        preview = folder / PREVIEW if request.preview else None
        if preview is not None:
            job.progress(spool.count * steps, spool.count * steps, "preview")
            pdf = next(file.path for file in made if file.format == "pdf")
            await asyncio.to_thread(output.preview, pdf, preview)
        job.progress(spool.count * steps, spool.count * steps, "publishing")
        return _outcome(job.id, spool, await self._published(job, made, preview), made, details, preview)

    async def _written(
        self, request: ReportRequest, spool: Spool, output: Output, folder: Path, form: Format, written: Progress
    ) -> _Made:
        """Write one format, or fetch the file that an earlier report has made in the same way."""
        key = key_of(spool.sha256, output.identity, form)
        path = folder / f"report.{form}"
        name = checked_name(f"{request.file_name}.{form}")
        is_kept = request.password is None or form != "pdf"  # an encrypted file has other bytes each time
        if is_kept and not request.force and (found := await self._cached.find(key)) is not None:
            with suppress(FileNotFoundError):  # it may be deleted meanwhile
                await write(path, self._app.storage.artifacts.stream(found.artifact))
                return _Made(form, name, path, found.pages, None, reused=True, warnings=found.warnings)

        written(0, spool.count)
        rendered = await asyncio.to_thread(output.write, form, path, written)
        kept_as = key if is_kept else None
        return _Made(form, name, path, rendered.pages, kept_as, reused=False, warnings=rendered.warnings)

    async def _published(self, job: JobContext, made: Sequence[_Made], preview: Path | None) -> list[ReportFile]:
        links = [await self._link(job.id, file.name) for file in made]  # before any file appears: this may fail
        paths = {file.name: file.path for file in made} | ({PREVIEW: preview} if preview else {})
        artifacts = await publish(job, paths, self._app.storage)
        for file in made:
            await self._remember(file, artifacts[file.name])
        return [_file(one, artifacts[one.name], link) for one, link in zip(made, links, strict=True)]

    async def _remember(self, made: _Made, artifact: Artifact) -> None:
        """Let other reports find the file. Without that they make their own, so this report is made all the same."""
        if made.key is None or not artifact.path:  # a path is missing in a test, which keeps files in memory
            return
        try:
            await self._cached.remember(made.key, artifact, made.pages, made.warnings)
        except (StorageUnavailable, StorageFull) as error:
            _log.warning("report %s: %s will be made again by the next one: %s", artifact.job_id, made.name, error)

    async def _link(self, job_id: str, name: str) -> str | None:
        base = self._own.reports_link_url
        if base is None:
            return None
        expires_at = datetime.now(UTC) + timedelta(seconds=self._own.reports_link_seconds)
        token = await self._app.storage.links.token(Link(job_id, name, expires_at))
        return f"{base.rstrip('/')}/{token}/{quote(name, safe='')}"


async def follow(app: JobApp, job_id: str, request: ReportRequest, outcome: ReportOutcome) -> JobRecord:
    """Enqueue the job that gets the result; once, also if the report is made again because its worker was killed."""
    fingerprint = hashlib.sha256(job_id.encode()).hexdigest()  # the outcome's seconds and links are others each time
    options = EnqueueOptions(idempotency_key=f"report:{job_id}", fingerprint=fingerprint)
    return await app.client.submit(following_call(app, request, outcome), options)


def _said(request: ReportRequest, details: Mapping[str, str]) -> str:
    """Say where the rows are from, in one line that readers of the report may see."""
    match request.source:
        case NamedRef(name=name):
            return name
        case SqlRef(connection=connection):
            return connection
        case UploadRef():
            return details.get("file", "")
        case _:
            return ""


def _file(made: _Made, artifact: Artifact, link: str | None) -> ReportFile:
    return ReportFile(
        format=made.format,
        name=made.name,
        size=artifact.size,
        sha256=artifact.sha256,
        pages=made.pages,
        reused=made.reused,
        link=link,
    )


def _outcome(
    job_id: str,
    spool: Spool,
    files: Sequence[ReportFile],
    made: Sequence[_Made],
    details: Mapping[str, str],
    preview: Path | None,
) -> ReportOutcome:
    return ReportOutcome(
        id=job_id,
        rows=spool.count,
        files=list(files),
        preview=PREVIEW if preview else None,
        warnings=list(dict.fromkeys(warning for file in made for warning in file.warnings)),
        data_sha256=spool.sha256,
        source=dict(details),
        seconds=0,
        peak_mb=peak_mb(),
    )
