"""Reports over HTTP, through a real worker, to files of the storage."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import signal
import subprocess
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from python_calamine import load_workbook

from celeriac.families.reports.make import follow
from celeriac.families.reports.outcome import EXAMPLE
from celeriac.families.reports.request import ReportRequest
from tests.integration.reports.conftest import MEMORY_MB
from tests.support.report_api import ReportApi
from tests.support.report_shop import ReportShop
from tests.support.tables import workbook
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("worker")
ORDERS = {"name": "orders"}
#: Templates that never end, or that take all memory: of three nested loops, and of a list of hundreds of megabytes.
GREEDY = "#let a = range(9000000)\n" + "#let a = a + a\n" * 8


def texts(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_range() for page in document)
    finally:
        document.close()


def csv_rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


async def test_a_named_query_becomes_files_of_each_format_from_one_reading(reports: ReportApi) -> None:
    source = {"name": "orders", "parameters": {"since": "2026-02-01", "country": "DE"}}
    made = await reports.made(
        source,
        formats=["pdf", "xlsx", "csv", "parquet", "html"],
        file_name="Bestellungen",
        layout={"title": "Die Bestellungen", "locale": "de", "source": "Lager"},
        columns={"total": {"currency": "EUR", "title": "Summe"}},
        preview=True,
    )
    expected = [n for n in range(1, 2001) if n % 12 + 1 >= 2 and n % 3 == 0]
    files = {file["format"]: await reports.artifact(made["id"], file["name"]) for file in made["files"]}
    for file in made["files"]:
        assert file["name"] == f"Bestellungen.{file['format']}"
        assert len(files[file["format"]]) == file["size"]
        assert hashlib.sha256(files[file["format"]]).hexdigest() == file["sha256"]
    assert made["rows"] == len(expected)
    rows = csv_rows(files["csv"])
    assert [int(row["id"]) for row in rows] == expected
    assert sum(float(row["total"]) for row in rows) == sum(expected) * 1.5
    shown = texts(files["pdf"])
    assert "Die Bestellungen" in shown
    assert "Lager" in shown
    assert "Summe" in shown
    sheet = load_workbook(io.BytesIO(files["xlsx"])).get_sheet_by_index(0).to_python()
    assert {row[0] for row in sheet} >= set(map(float, expected[:3]))
    assert files["parquet"].startswith(b"PAR1")
    assert b"Die Bestellungen" in files["html"]
    picture = await reports.client.get(f"/reports/{made['id']}/preview")
    known = {"If-None-Match": picture.headers["ETag"]}
    assert (await reports.client.get(f"/reports/{made['id']}/preview", headers=known)).status_code == 304
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


async def test_an_upload_becomes_a_report_and_belongs_to_its_sender(reports: ReportApi, bob: ReportApi) -> None:
    upload = await reports.upload("späte_käufer.csv", "Name;Betrag\nMüller;1.234,50\nGroß;2,00\n".encode("cp1252"))
    made = await reports.made({"upload": upload}, formats=["csv", "html"])
    assert "<h1>Späte käufer</h1>" in (await reports.artifact(made["id"], "report.html")).decode()
    assert csv_rows(await reports.artifact(made["id"], "report.csv")) == [
        {"Name": "Müller", "Betrag": "1234.50"},
        {"Name": "Groß", "Betrag": "2.00"},
    ]
    assert made["source"] == {"file": "späte_käufer.csv", "encoding": "cp1252", "delimiter": ";"}
    refused = await bob.post({"upload": upload})
    assert refused.status_code == 422
    assert "no upload with id" in refused.json()["detail"]


async def test_a_workbook_and_rows_become_reports(reports: ReportApi, tmp_path: Path) -> None:
    rows: list[list[Any]] = [["name", "day"], ["a", date(2026, 1, 31)]]
    upload = await reports.upload("a.xlsx", workbook(tmp_path / "a.xlsx", rows).read_bytes())
    made = await reports.made({"upload": upload, "sheet": "Orders"}, formats=["csv"])
    assert csv_rows(await reports.artifact(made["id"], "report.csv")) == [{"name": "a", "day": "2026-01-31"}]
    made = await reports.made({"rows": [{"a": 1, "b": "x"}, {"b": None, "c": True}]}, formats=["csv"])
    assert csv_rows(await reports.artifact(made["id"], "report.csv"))[0] == {"a": "1", "b": "x", "c": ""}


async def test_a_function_becomes_a_report(reports: ReportApi) -> None:
    made = await reports.made({"name": "numbers", "parameters": {"count": 3}}, formats=["csv"])
    rows = csv_rows(await reports.artifact(made["id"], "report.csv"))
    assert [(row["number"], row["price"]) for row in rows] == [("1", "1.50"), ("2", "3.00"), ("3", "4.50")]


async def test_the_same_data_and_layout_give_the_earlier_file(reports: ReportApi) -> None:
    asked: dict[str, Any] = {"formats": ["html", "csv"], "layout": {"title": "Found again"}}
    first = await reports.made(ORDERS, **asked)
    again = await reports.made({"sql": "SELECT * FROM orders ORDER BY id", "connection": "shop"}, **asked)
    other_layout = await reports.made(ORDERS, **{**asked, "layout": {"title": "Other"}})
    other_data = await reports.made({"name": "orders", "parameters": {"country": "FR"}}, **asked)
    forced = await reports.made(ORDERS, **asked, force=True)
    assert [file["reused"] for file in first["files"]] == [False, False]
    repeated = await reports.made(ORDERS, **asked)
    assert [file["reused"] for file in repeated["files"]] == [True, True]
    assert [file["sha256"] for file in repeated["files"]] in (
        [file["sha256"] for file in first["files"]],
        [file["sha256"] for file in forced["files"]],
    )
    assert await reports.artifact(repeated["id"], "report.csv") == await reports.artifact(first["id"], "report.csv")
    assert again["data_sha256"] == first["data_sha256"]
    for made in (other_layout, other_data, forced):
        assert not any(file["reused"] for file in made["files"])


@pytest.mark.slow
async def test_an_explicit_time_makes_the_same_bytes_again(reports: ReportApi) -> None:
    layout = {"title": "Reproducible", "created_at": "2026-01-31T12:00:00Z"}
    made = [await reports.made(ORDERS, formats=["pdf", "xlsx"], layout=layout, force=True) for _ in range(2)]
    digests = [[file["sha256"] for file in one["files"]] for one in made]
    assert digests[0] == digests[1]


@pytest.mark.slow
async def test_a_runaway_template_is_stopped_by_memory_and_the_worker_goes_on(reports: ReportApi) -> None:
    told = await reports.failed(ORDERS, layout={"template": GREEDY})
    assert (
        told == "ReportCrashed: its process ended while it worked on the report, most likely at its limit of "
        f"{MEMORY_MB:,} MB (CELERIAC_REPORTS_MEMORY_MB)"
    )
    assert (await reports.made(ORDERS, force=True))["rows"] == 2000


async def test_a_failed_report_publishes_nothing(reports: ReportApi) -> None:
    report = await reports.ended(
        await reports.submit(ORDERS, formats=["csv", "pdf"], layout={"template": '#panic("no")'})
    )
    assert report["job"]["state"] == "failed"
    assert report["job"]["error"]["type"] == "TemplateFailed"
    listed = await reports.client.get(f"/jobs/{report['job']['id']}/artifacts")
    assert listed.json() == {"artifacts": []}
    assert (await reports.client.get(f"/reports/{report['job']['id']}/preview")).status_code == 404


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            {"sql": "WITH x AS (SELECT 1) DELETE FROM orders", "connection": "shop"},
            "QueryFailed: connection shop: a query can only SELECT",
        ),
        ({"sql": "SELECT missing FROM orders", "connection": "shop"}, "no such column: missing"),
    ],
)
async def test_what_the_source_says_is_the_error_of_the_job(
    reports: ReportApi, source: dict[str, Any], error: str
) -> None:
    assert error in await reports.failed(source)


async def test_a_job_that_follows_gets_the_result_and_a_link(reports: ReportApi, shop: ReportShop) -> None:
    then = {"task": "shop.note", "arguments": {"customer": "Ann"}}
    made = await reports.made(ORDERS, formats=["csv"], then=then)
    assert made["files"][0]["link"].startswith("https://shop.example/links/")
    token, name = made["files"][0]["link"].removeprefix("https://shop.example/links/").split("/")
    async with type(reports.client)(base_url=reports.client.base_url, timeout=60) as stranger:
        followed = await stranger.get(f"/links/{token}/{name}")
    assert followed.status_code == 200
    assert len(csv_rows(followed.content)) == 2000
    noted, *_ = (await reports.client.get("/jobs?task=shop.note")).json()["jobs"]
    assert await shop.notes.handle(noted["id"]).result(timeout=60) == "Ann gets report.csv of 2000 rows"


def _isolated(worker: Worker, job_id: str) -> list[int]:
    """The processes of the worker that make this report now: those that hold its rows open."""
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(worker.pid)], capture_output=True, text=True)
    pids = [int(pid) for pid in listing.stdout.split()]
    return [pid for pid in pids if any(str(link).endswith(f"/{job_id}/rows") for link in _open_files(pid))]


def _open_files(pid: int) -> list[Path]:
    found: list[Path] = []
    with suppress(OSError):  # the process has gone meanwhile
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # or this file of it
                found.append(entry.readlink())
    return found


async def test_progress_goes_through_the_rows_for_each_format(reports: ReportApi) -> None:
    job_id = await reports.submit(ORDERS, formats=["html", "csv"], force=True)
    told = [event async for event in reports.events(job_id) if "done" in event]
    assert [event["done"] for event in told] == sorted(event["done"] for event in told)
    assert (told[-1]["done"], told[-1]["total"], told[-1]["message"]) == (6000, 6000, "publishing")


async def test_the_job_that_follows_is_enqueued_once_though_the_report_is_made_again(shop: ReportShop) -> None:
    then = {"task": "shop.note", "arguments": {"customer": "Eve"}}
    request = ReportRequest.model_validate({"source": ORDERS, "then": then})
    first = await follow(shop.app, "made-twice", request, EXAMPLE)
    again = await follow(shop.app, "made-twice", request, EXAMPLE.model_copy(update={"seconds": 1.0}))
    assert first.id == again.id


# Those that end the process of reports come last: the next report waits for another one.


async def test_progress_is_told_and_a_report_can_be_cancelled_and_retried(reports: ReportApi) -> None:
    job_id = await reports.submit({"name": "endless"})
    async for event in reports.events(job_id):
        if event.get("message") == "reading":
            assert event["done"] > 0
            assert (await reports.client.post(f"/jobs/{job_id}/cancel")).status_code in (200, 202)
            break
    assert (await reports.ended(job_id))["job"]["state"] == "cancelled"
    assert (await reports.client.post(f"/jobs/{job_id}/retry")).status_code in (200, 202)
    await reports.client.post(f"/jobs/{job_id}/cancel")
    assert (await reports.ended(job_id))["job"]["state"] == "cancelled"


async def test_a_report_whose_process_is_killed_tells_it_and_leaves_nothing(
    reports: ReportApi, worker: Worker, shop_folder: Path
) -> None:
    job_id = await reports.submit({"name": "endless"})
    async for event in reports.events(job_id):
        if event.get("message") == "reading":
            break
    (process,) = await eventually(lambda: _isolated(worker, job_id))
    os.kill(process, signal.SIGKILL)
    report = await reports.ended(job_id)
    assert report["job"]["error"]["type"] == "ReportCrashed"
    assert report["job"]["attempt"] == 2
    await reports.made(ORDERS, formats=["csv"])
    assert [path for path in (shop_folder / "scratch" / job_id).rglob("*") if path.name == "rows"] == []
