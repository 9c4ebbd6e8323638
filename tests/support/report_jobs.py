"""An application of reports whose jobs run in the test's process, and whose files are in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.engine.in_process import InProcessJobs
from celeriac.engine.ran_job import RanJob
from celeriac.families.reports import ReportsFamily, ReportsSettings


class ReportJobs:
    def __init__(self, folder: Path, *, own: dict[str, Any] | None = None, **settings: Any) -> None:
        nowhere = SecretStr("redis://127.0.0.1:1/0")
        kept = Settings(broker_url=nowhere, data_dir=folder, storage_reserve_bytes=0, **settings)
        self.app = Celeriac("shop", settings=kept)
        given = ReportsSettings(**{"reports_scratch": folder / "scratch", **(own or {})})
        self.reports = self.app.include_family(ReportsFamily, given)
        self.app.stand_in = self.jobs = InProcessJobs(
            self.app.specs, default_queue=lambda: "celery", open_artifact=self.app.open_artifact
        )

    async def run(self, source: dict[str, Any], *formats: str, **more: Any) -> RanJob:
        """The job of a report that has ended."""
        before = len(self.jobs.all)
        await self.app.client.submit(self.reports.call({"source": source, "formats": formats, **more}))
        return self.jobs.all[before]

    async def names(self, job: RanJob) -> list[str]:
        """The names of the files that it has."""
        return [artifact.name for artifact in await self.app.storage.artifacts.of(job.record.id)]
