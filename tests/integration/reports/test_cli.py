"""`celeriac report`: reports from a terminal, through a real worker."""

from __future__ import annotations

import csv
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from celeriac import Settings
from celeriac.cli import ExitCode
from celeriac.families.reports.request import NamedRef, ReportRequest
from celeriac.settings import as_environment
from tests.support.report_shop import ReportShop
from tests.support.terminal import Terminal
from tests.support.workers import Worker

APP = "tests.support.report_shop:app"


@pytest.fixture
def terminal(
    shop_settings: Settings,
    report_settings: dict[str, Any],
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    own = {f"CELERIAC_{name.upper()}": str(value) for name, value in report_settings.items()}
    for name, value in {**as_environment(shop_settings), **own}.items():
        monkeypatch.setenv(name, value)
    return Terminal("report", APP, monkeypatch, capsys)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


async def test_a_report_is_made_listed_and_fetched_again(terminal: Terminal, tmp_path: Path) -> None:
    code, printed, errors = await terminal.run(
        *("run", "orders", "--param", "country=DE", "--format", "csv,html", "--title", "Orders"),
        *("--output", str(tmp_path / "made")),
    )
    assert code == 0, errors
    assert printed.split() == [str(tmp_path / "made" / "orders.csv"), str(tmp_path / "made" / "orders.html")]
    assert {row["country"] for row in rows_of(tmp_path / "made" / "orders.csv")} == {"DE"}
    assert "Orders" in (tmp_path / "made" / "orders.html").read_text()
    newest = (await terminal.json("list", "--limit", "1"))[0]
    assert (newest["state"], newest["source"], newest["formats"]) == ("succeeded", "orders", "csv,html")
    fetched = await terminal.json("fetch", newest["id"], "--output", str(tmp_path / "again"))
    assert [Path(path).name for path in fetched] == ["orders.csv", "orders.html"]
    code, _, errors = await terminal.run("preview", newest["id"])
    assert (code, "has no preview" in errors) == (ExitCode.USAGE, True)


async def test_a_file_and_a_query_become_reports(terminal: Terminal, tmp_path: Path) -> None:
    table = tmp_path / "kunden.csv"
    table.write_text("Name;Betrag\nMüller;1,50\n")
    made = await terminal.json("run", "--file", str(table), "--format", "csv", "--output", str(tmp_path / "made"))
    assert made["rows"] == 1
    assert rows_of(Path(made["saved"][0])) == [{"Name": "Müller", "Betrag": "1.50"}]
    query = tmp_path / "query.sql"
    query.write_text("SELECT count(*) AS n FROM orders WHERE country = :country")
    made = await terminal.json(
        *("run", "--sql", str(query), "--connection", "shop", "-p", "country=FR", "-f", "csv", "-o", str(tmp_path)),
    )
    assert rows_of(Path(made["saved"][0])) == [{"n": "667"}]


async def test_columns_are_chosen_in_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    code, _, errors = await terminal.run(
        *("run", "orders", "-f", "html", "-o", str(tmp_path), "--column", "total.title=Revenue"),
        *("--column", "total.currency=EUR", "--column", "id.total=false"),
    )
    assert code == 0, errors
    assert "Revenue €" in (tmp_path / "orders.html").read_text()


async def test_a_warning_of_the_report_is_told_beside_its_files(terminal: Terminal, tmp_path: Path) -> None:
    (table := tmp_path / "thai.csv").write_text("name\nไทย\n")
    code, printed, errors = await terminal.run("run", "--file", str(table), "--output", str(tmp_path))
    assert (code, printed) == (0, f"{tmp_path / 'thai.pdf'}\n")
    assert errors.startswith("celeriac: warning: the PDF lacks characters, because no font has Thai: ")
    assert errors.count("\n") == 1


async def test_the_sources_are_listed(terminal: Terminal) -> None:
    listed = {source["name"]: source for source in await terminal.json("sources")}
    assert list(listed) == ["endless", "flaky", "ledger", "numbers", "orders"]
    assert list(listed["orders"]["parameters"]) == ["since", "country"]
    _, printed, _ = await terminal.run("sources", family="reports")  # the family's name, which help does not list
    assert "orders\tquery\tsince, country\tOrders since a day" in printed


async def test_a_report_without_files_says_why(terminal: Terminal, tmp_path: Path) -> None:
    (table := tmp_path / "kunden.csv").write_text("Name;Betrag\nMüller;1,50\n")
    layout = tmp_path / "layout.json"
    layout.write_text('{"figures": ["Name"]}')
    code, _, errors = await terminal.run("run", "--file", str(table), "--layout", str(layout))
    assert (code, "column 'Name' is text" in errors) == (ExitCode.FAILURE, True)
    newest = (await terminal.json("list", "--limit", "1"))[0]
    for command in ("fetch", "preview"):
        code, printed, errors = await terminal.run(command, newest["id"])
        assert (code, printed) == (ExitCode.FAILURE, "")
        assert errors.startswith(
            f"celeriac: error: report {newest['id']} failed: layout.figures: column 'Name' is text"
        )


@pytest.mark.parametrize(
    ("command", "told"), [("fetch", "is cancelled"), ("preview", "is cancelled"), ("fetch", "is running; `celeriac")]
)
async def test_a_report_that_is_not_made_says_how_it_is(
    terminal: Terminal, shop: ReportShop, command: str, told: str
) -> None:
    handle = await shop.reports.job.enqueue(ReportRequest(source=NamedRef(name="endless")))
    async with aclosing(handle.events()) as events:
        async for event in events:
            if event.name == "progress":
                break
    if told == "is cancelled":
        await handle.cancel()
        async for _ in handle.events():
            pass
    code, printed, errors = await terminal.run(command, handle.id)
    await handle.cancel()
    assert (code, printed) == (ExitCode.FAILURE, "")
    assert f"report {handle.id} {told}" in errors


@pytest.mark.parametrize("command", [["run", "orders"], ["fetch", "unknown"], ["preview", "unknown"]])
@pytest.mark.parametrize("folder", ["here.txt", "here.txt/below", "/proc/celeriac"])
async def test_a_folder_that_cannot_be_made_is_told_before_any_work(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.txt").touch()
    before = {report["id"] for report in await terminal.json("list")}
    code, printed, errors = await terminal.run(*command, "--output", folder)
    assert (code, printed, errors.count("\n")) == (ExitCode.USAGE, "", 1), errors
    assert errors.startswith(f"celeriac: error: --output {folder}: files cannot be saved there: ")
    assert {report["id"] for report in await terminal.json("list")} == before


@pytest.mark.parametrize("arguments", [["--connection", "shop", "--sql"], ["orders", "--layout"]])
async def test_a_file_in_another_encoding_is_refused(terminal: Terminal, tmp_path: Path, arguments: list[str]) -> None:
    (file := tmp_path / "file").write_bytes('{"title": "Käufer"}'.encode("cp1252"))
    code, printed, errors = await terminal.run("run", *arguments, str(file))
    assert (code, printed) == (ExitCode.USAGE, "")
    assert errors.startswith(f"celeriac: error: {arguments[-1]} {file}: cannot be read as UTF-8: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "name one source"),
        (["run", "orders", "--connection", "shop"], "--sql and --connection belong together"),
        (["run", "orders", "--param", "since"], "--param since: expected NAME=VALUE"),
        (["run", "orders", "--column", "total=EUR"], "--column total=EUR: expected NAME.MEMBER=VALUE"),
        (["run", "orders", "--column", "total.currency=XXY"], "columns.total.currency: XXY is no currency"),
        (["run", "orders", "--format", "doc"], "formats.0: Input should be 'pdf'"),
        (["run", "orders", "--password", "secret"], "password.name: no password is named 'secret'"),
        (["run", "other"], "source.name: no source is named 'other'; `celeriac report sources`"),
        (["fetch", "nobody"], "no job with id 'nobody' is known"),
    ],
)
async def test_a_mistake_is_one_line(terminal: Terminal, arguments: list[str], told: str) -> None:
    code, printed, errors = await terminal.run(*arguments)
    assert (code != 0, printed) == (True, "")
    assert told in errors
    assert errors.startswith("celeriac: error: ")
    assert errors.count("\n") == 1
