"""The job of a report. It runs in a process of its own, which is killed when it is cancelled or takes too long."""

from __future__ import annotations

from typing import Any, cast

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.errors import BrokerUnavailable, JobCrashed, StorageUnavailable
from celeriac.core.retry import Retry
from celeriac.engine.app import JobApp
from celeriac.families.reports.errors import SourceUnavailable
from celeriac.families.reports.make import Maker
from celeriac.families.reports.outcome import ReportOutcome
from celeriac.families.reports.reading import Reader
from celeriac.families.reports.request import ReportRequest
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.sources.named import Sources

#: After a crash there is a second attempt, because it tells the cause (see `limits.py`).
_RETRY = Retry(
    attempts=4, backoff=1.0, factor=4.0, on=(JobCrashed, BrokerUnavailable, SourceUnavailable, StorageUnavailable)
)

MakeJob = Job[[ReportRequest], ReportOutcome]


def register(app: JobApp, sources: Sources, own: ReportsSettings) -> MakeJob:
    """Add the job to `app`.

    Its name has the application's: on a broker that two applications share, neither makes the other's reports, of
    data of its own that happens to have the same name.
    """
    application: str = cast(Any, app).main or "celeriac"
    maker = Maker(app, own, Reader(sources, own, lambda: app.storage.uploads))

    @app.job(
        name=f"{application}.reports.make",
        queue=own.reports_queue,
        isolate=True,
        timeout=own.reports_timeout,
        retry=_RETRY,
        exposed=False,
    )
    async def make(job: JobContext, request: ReportRequest) -> ReportOutcome:
        """Make a report of a source of rows, in each format that was asked for."""
        return await maker.make(job, request)

    return make
