"""What a report publishes and tells: all files or none, its warnings, and files that others have made before."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from celeriac import JobContext
from celeriac.engine.ran_job import RanJob
from celeriac.families.reports.cached import Cached, Found
from celeriac.families.reports.errors import ReportCrashed
from celeriac.families.reports.make import Maker
from celeriac.families.reports.reading import Reader
from celeriac.families.reports.rendering import fonts
from celeriac.families.reports.request import ReportRequest
from celeriac.families.reports.sources.named import Sources
from tests.support.report_jobs import ReportJobs

ROWS = {"rows": [{"name": "Müller", "total": 3}, {"name": "Groß", "total": 4}]}
THAI = {"rows": [{"name": "ไทย"}]}


def sizes(job: RanJob) -> list[int]:
    return [file["size"] for file in job.result["files"]]


async def test_what_no_font_has_is_told_in_the_result_also_of_a_file_that_is_found_again(tmp_path: Path) -> None:
    here = ReportJobs(tmp_path)
    told = [
        "the PDF lacks characters, because no font has Thai: put one that does into the folder that "
        "CELERIAC_REPORTS_FONT_FOLDER names"
    ]
    first, again = [await here.run(THAI, "pdf", "csv") for _ in range(2)]
    assert [job.result["warnings"] for job in (first, again)] == [told, told]
    assert [file["reused"] for job in (first, again) for file in job.result["files"]] == [False, False, True, True]
    assert (await here.run(THAI, "csv")).result["warnings"] == []
    assert (await here.run(ROWS, "pdf")).result["warnings"] == []


async def test_a_font_that_was_added_makes_the_report_anew(tmp_path: Path) -> None:
    (folder := tmp_path / "fonts").mkdir()
    reused: list[bool] = []
    for _ in range(3):
        fonts.fingerprint.cache_clear()  # as a worker does that starts anew
        job = await ReportJobs(tmp_path, own={"reports_font_folder": folder}).run(ROWS, "pdf")
        reused.append(job.result["files"][0]["reused"])
        shutil.copy(fonts.sans_file(), folder)
    assert reused == [False, False, True]


async def test_a_file_that_cannot_be_written_leaves_no_other_there(tmp_path: Path) -> None:
    here = ReportJobs(tmp_path, max_file_bytes=2_000)
    job = await here.run(ROWS, "csv", "html", layout={"chart": "off"})
    assert "report.html is larger than the 2,000 bytes" in str(job.error)
    assert await here.names(job) == []
    assert [path for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []


async def test_a_file_that_cannot_be_published_takes_back_those_before(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"layout": {"chart": "off", "created_at": "2026-01-31T12:00:00Z"}, "force": True}
    csv, page = sizes(await ReportJobs(tmp_path / "a").run(ROWS, "csv", "html", **asked))
    here = ReportJobs(tmp_path / "b", max_job_artifact_bytes=csv + page - 1)
    job = await here.run(ROWS, "csv", "html", **asked)
    assert "CELERIAC_MAX_JOB_ARTIFACT_BYTES" in str(job.error)
    assert await here.names(job) == []
    here = ReportJobs(tmp_path / "c", max_job_artifact_bytes=csv + page)
    assert await here.names(await here.run(ROWS, "csv", "html", **asked)) == ["report.csv", "report.html"]


async def test_a_report_that_crashed_leaves_none_of_the_files_that_it_had_published(tmp_path: Path) -> None:
    here = ReportJobs(tmp_path)
    job = await here.run(ROWS, "csv")
    folder = tmp_path / "scratch" / job.record.id
    folder.mkdir()
    (folder / "working").write_text("1")  # as a process leaves it that is killed
    reader = Reader(Sources(), here.reports.settings, lambda: here.app.storage.uploads)
    maker = Maker(here.app, here.reports.settings, reader)
    with pytest.raises(ReportCrashed):
        await maker.make(JobContext(id=job.record.id, attempt=2), ReportRequest.model_validate({"source": ROWS}))
    assert await here.names(job) == []


async def test_a_report_is_made_though_others_cannot_find_its_files(tmp_path: Path) -> None:
    here = ReportJobs(tmp_path)
    await here.run(ROWS, "csv")
    (index,) = (tmp_path / "storage" / "artifacts" / "records").glob("report-*")
    shutil.rmtree(index)
    index.touch()  # where a folder has to be
    job = await here.run(ROWS, "csv", force=True)
    assert (job.error, await here.names(job)) == (None, ["report.csv"])


async def test_a_file_that_goes_between_finding_and_reading_it_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ReportJobs(tmp_path)
    first = await here.run(ROWS, "csv")
    found: list[Found | None] = []
    find = Cached.find

    async def find_and_lose(cached: Cached, key: str) -> Found | None:
        found.append(await find(cached, key))
        await here.app.storage.artifacts.delete(first.record.id)
        return found[-1]

    monkeypatch.setattr(Cached, "find", find_and_lose)
    again = await here.run(ROWS, "csv")
    assert found[0] is not None and found[0].artifact.job_id == first.record.id
    assert again.error is None
    assert [file["reused"] for file in again.result["files"]] == [False]
    assert sizes(again) == sizes(first)
    assert await here.names(again) == ["report.csv"]


async def test_a_source_that_is_not_there_fails_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    job = await ReportJobs(tmp_path).run({"name": "gone"}, "csv")
    assert (job.record.state, job.retry_delays) == ("failed", [])
    assert str(job.error).startswith("source.name: no source is named 'gone'; `celeriac report sources` and GET")


async def test_a_driver_that_is_not_there_fails_at_once_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ReportJobs(tmp_path, own={"reports_connections": "shop=postgresql://nobody@127.0.0.1:1/shop"})
    source = {"sql": "SELECT 1", "connection": "shop"}
    job = await here.run(source, "csv")
    assert len(job.retry_delays) == 3  # the server may be back soon
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    job = await here.run(source, "csv")
    assert (job.record.state, job.retry_delays) == ("failed", [])
    assert str(job.error) == "connection shop: Postgres needs asyncpg: pip install 'celeriac[postgres]'"
