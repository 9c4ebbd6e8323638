"""`celeriac sync`, as somebody types it, with a real worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from celeriac.cli import ExitCode
from tests.support.sync_api import SyncApi
from tests.support.terminal import Terminal
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def terminal(
    environment: dict[str, str],
    shared_worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "celeriac.worker", raising=False)  # it reads them when imported
    return Terminal("sync", "celeriac.worker:c_app", monkeypatch, capsys)


async def test_a_sync_is_run_and_looked_at_from_a_terminal(terminal: Terminal) -> None:
    listed = {one["name"]: one for one in await terminal.json("list")}
    assert listed["shop"]["schedules"] == ["every 86400 s"]
    outcome = await terminal.json("run", "shop", "--full", "--follow")
    assert (outcome["state"], outcome["streams"]["orders"]["in"]) == ("done", 250)
    (orders,) = await terminal.json("state", "shop")
    assert (orders["stream"], orders["phase"]) == ("orders", "idle")
    newest, *_ = await terminal.json("runs", "shop", "--limit", "1")
    assert (newest["id"], newest["state"]) == (outcome["job"], "done")
    code, shown, _ = await terminal.run("show", "shop")
    assert code == 0
    assert outcome["job"] in shown and "env:SHOP_KEY" not in shown and "orders" in shown
    assert (await terminal.json("show", "shop"))["last_run"]["streams"]["orders"]["in"] == 250
    assert await terminal.json("reset", "shop", "--stream", "orders") == {"streams": ["orders"]}
    assert await terminal.json("state", "shop") == []


@pytest.mark.slow
async def test_tables_are_for_people(terminal: Terminal) -> None:
    for command, words in (
        (["list"], ["shop", "family", "every 86400 s"]),
        (["run", "untidy", "--follow"], ["things", "in", "rejected"]),
        (["rejects", "untidy"], ["it has no id, which is its key"]),
        (["runs", "untidy"], ["done"]),
        (["state", "untidy"], ["things", "idle"]),
        (["dry-run", "untidy"], ["things: 4 records on the first page", "integer", "rejected, at 1"]),
    ):
        code, printed, errors = await terminal.run(*command)
        assert code == 0, errors
        assert all(word in printed for word in words), printed


async def test_a_dry_run_needs_no_worker(terminal: Terminal) -> None:
    before = await terminal.json("list", family="jobs")
    seen = await terminal.json("dry-run", "untidy")
    assert (seen["streams"]["things"]["received"], seen["streams"]["things"]["more"]) == (4, False)
    assert await terminal.json("list", family="jobs") == before


async def test_a_run_that_fails_ends_the_command_with_its_error(terminal: Terminal, shop: SyncApi) -> None:
    with shop.telling("/untidy", (404, {}, "")):
        code, printed, errors = await terminal.run("run", "untidy", "--follow")
    assert (code, printed) == (ExitCode.FAILURE, "")
    assert "404" in errors


async def test_the_host_of_a_sync_is_asked_again_at_once(terminal: Terminal, shop: SyncApi) -> None:
    with shop.telling("/untidy", (429, {"Retry-After": "3600"}, "")):
        code, _, errors = await terminal.run("dry-run", "untidy")
        assert (code, "asks to be left alone for 3,600 s" in errors) == (ExitCode.FAILURE, True)
        assert (await terminal.json("host", "shop"))["closed_seconds"] > 3000
        assert (await terminal.json("host", "shop", "--reopen"))["closed_seconds"] > 3000
    assert await terminal.json("host", "shop") == {"host": f"127.0.0.1:{shop.port}", "closed_seconds": 0}
    assert "to be left alone for\tno time: it may be asked" in (await terminal.run("host", "shop"))[1]


async def test_a_busy_sync_and_unknown_names_are_refused(terminal: Terminal) -> None:
    job = (await terminal.json("run", "slow"))["job"]

    async def is_running() -> bool:
        return (await terminal.json("show", "slow"))["running"] == job

    await eventually(is_running, "the run has its lock")
    code, _, errors = await terminal.run("run", "slow")
    assert (code, job in errors) == (ExitCode.STATE, True)
    await terminal.run("cancel", job, family="jobs")
    code, _, errors = await terminal.run("run", "nothing")
    assert code == ExitCode.FAILURE
    assert "no sync is named 'nothing'" in errors
    code, _, errors = await terminal.run("run", "shop", "--stream", "nothing")
    assert "it has: orders" in errors


async def test_a_definition_is_checked_without_connecting(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal("sync", "", monkeypatch, capsys)
    good, elsewhere, bad, never = (tmp_path / f"{name}.yaml" for name in ("good", "elsewhere", "bad", "never"))
    text = """
        name: shop
        source: {url: "http://127.0.0.1:1", auth: {type: bearer, token: "env:NOT_SET_HERE"}}
        streams: [{name: orders, primary_key: id}]
        destination: {connection: main}
    """
    good.write_text(text)
    elsewhere.write_text(text.replace("main", "nowhere"))
    never.write_text(text.replace("name: shop", "name: shop\n        schedule: {cron: 99 * * * *}"))
    bad.write_text(text.replace("primary_key", "primarykey"))
    said = await terminal.findings("check", *map(str, (good, elsewhere, bad, never)))
    assert [(one["check"], one["status"]) for one in said["findings"]] == [
        ("good.yaml", "ok"),
        ("elsewhere.yaml", "warn"),
        ("bad.yaml", "fail"),
        ("never.yaml", "fail"),
    ]
    details = [one["detail"] for one in said["findings"]]
    assert details[0] == "shop: orders into main"
    assert "destination.connection: none is named 'nowhere'" in details[1]
    assert details[2].startswith("streams.orders.primarykey: is unknown: did you mean `primary_key`?")
    assert details[3].startswith("schedule.cron: '99 * * * *' is not")
    assert (await terminal.run("check", str(good), str(bad)))[0] == ExitCode.FAILURE


async def test_a_wrong_file_is_named_by_commands_and_by_the_doctor(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = """
        source: {url: "https://api.example.com"}
        streams: [{name: orders, primary_key: id}]
        destination: {connection: main}
    """
    (tmp_path / "good.yaml").write_text(good)
    (tmp_path / "bad.yaml").write_text(good.replace("streams", "stream"))
    (tmp_path / "lost.yaml").write_text(good.replace("main", "nowhere").replace("orders", "others"))
    monkeypatch.setenv("CELERIAC_SYNC_FOLDER", str(tmp_path))
    code, printed, errors = await terminal.run("list")
    assert (code, "good" in printed) == (0, True)
    assert f"warning: {tmp_path}/bad.yaml: streams: is missing" in errors and "none is named 'nowhere'" in errors
    findings = {one["check"]: one["status"] for one in (await terminal.findings(family="doctor"))["findings"]}
    found = {name: status for name, status in findings.items() if name.endswith(".yaml")}
    assert found == {"sync: good.yaml": "ok", "sync: bad.yaml": "fail", "sync: lost.yaml": "fail"}


async def test_the_doctor_tells_which_connections_answer(terminal: Terminal) -> None:
    code, printed, _ = await terminal.run("--json", family="doctor")
    findings = {one["check"]: one for one in json.loads(printed)["findings"]}
    assert findings["sync: main"]["status"] == "ok"
    assert findings["sync: away"]["status"] == "fail"
    assert "hidden-password" not in printed
    assert code == ExitCode.FAILURE


async def test_a_broker_or_a_database_that_is_away_is_one_line_that_says_what_to_do(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, printed, errors = await terminal.run("run", "away")
    assert (code, printed) == (ExitCode.UNAVAILABLE, "")
    assert errors.endswith("; start it, or correct the connection 'away' in CELERIAC_SYNC_CONNECTIONS\n")
    assert errors.count("\n") == 1 and "hidden-password" not in errors
    for url, why in (
        ("redis://:hidden@127.0.0.1:1/0", "Connection refused"),
        ("redis://:hidden@nowhere.invalid/0", "its host is not known"),
    ):
        monkeypatch.setenv("CELERIAC_BROKER_URL", url)
        monkeypatch.delitem(sys.modules, "celeriac.worker")  # it reads that when imported
        code, printed, errors = await terminal.run("run", "shop")
        assert (code, printed) == (ExitCode.UNAVAILABLE, "")
        assert why in errors and "hidden" not in errors and errors.count("\n") == 1
        assert errors.endswith("; start it (`celeriac up` brings one), or correct CELERIAC_BROKER_URL\n")
