"""`celeriac cleanup`, as somebody types it, with a real worker."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from celeriac.cli import ExitCode
from tests.integration.cleaning.conftest import ITEMS, OLD, ORDERS, RECENT, Shop
from tests.support.terminal import Terminal
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def terminal(
    environment: dict[str, str],
    shared_worker: Worker,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CELERIAC_BROKER_TIMEOUT", "2")
    monkeypatch.delitem(sys.modules, "celeriac.worker", raising=False)  # it reads them when imported
    return Terminal("cleanup", "celeriac.worker:c_app", monkeypatch, capsys)


async def test_old_orders_are_archived_and_restored_from_a_terminal(terminal: Terminal, shop: Shop) -> None:
    preview = await terminal.json("dry-run", "old-orders")
    assert (preview["rows"], len(preview["sample"])) == (OLD, 5)
    code, printed, _ = await terminal.run("dry-run", "old-orders")
    assert code == 0 and "DELETE FROM order_items" in printed and "2020-01-01 12:00:00" in printed
    assert "POSTCOMPILE" not in printed
    result = await terminal.json("run", "old-orders", "--follow")
    assert (result["state"], result["rows"]) == ("done", {"orders": OLD, "orders.order_items": ITEMS * OLD})
    assert shop.ids() == RECENT
    (run,) = await terminal.json("runs", "old-orders")
    assert (run["id"], run["who"]) == (result["run"], "command line")
    chunks = await terminal.json("audit", "old-orders", "--run", run["id"], "--limit", "200")
    assert sum(chunk["rows"] for chunk in chunks) == OLD * (1 + ITEMS)
    files = await terminal.json("archives", "old-orders", "--run", run["id"])
    assert [(one["table"], one["rows"], one["here"]) for one in files] == [
        ("orders", OLD, True),
        ("orders.order_items", ITEMS * OLD, True),
    ]
    assert [one["bytes"] for one in files] == [(shop.archives / one["file"]).stat().st_size for one in files]
    restored = await terminal.json("restore", "old-orders", run["id"])
    assert restored["tables"]["orders"] == {"rows": OLD, "restored": OLD, "skipped": 0}
    assert shop.ids() == set(range(1, ORDERS + 1)) and len(shop.ids("order_items")) == ITEMS * ORDERS
    code, printed, _ = await terminal.run("restore", "old-orders", run["id"], "--table", "orders.order_items")
    assert code == 0 and f"order_items\t{ITEMS * OLD}\t0\t{ITEMS * OLD}" in printed


async def test_a_paused_policy_does_not_run(terminal: Terminal, shop: Shop) -> None:
    assert (await terminal.json("pause", "names"))["paused"] is True
    code, _, said = await terminal.run("run", "names")
    assert code == ExitCode.STATE and "policy names is paused; resume it first" in said
    assert (await terminal.json("resume", "names"))["begun"] is None
    code, printed, _ = await terminal.run("run", "names", "--follow")
    assert code == 0 and "customers 10" in printed
    code, printed, _ = await terminal.run("show", "old-orders")
    assert code == 0 and "older_than: 365d" in printed
    code, printed, _ = await terminal.run("show", "names")
    assert code == 0 and "pattern: user-{key}@example.invalid" in printed and "last run: state\tdone" in printed


async def test_the_list_says_which_database_is_away(terminal: Terminal) -> None:
    found = {one["name"]: one for one in await terminal.json("list")}
    assert found["old-orders"]["unavailable"] is None
    assert found["mute"]["unavailable"] == "it did not answer within 2 s"
    code, printed, _ = await terminal.run("list")
    assert code == 0 and "old-orders" in printed and "secret-password" not in printed


async def test_what_is_wrong_is_said_in_a_line(terminal: Terminal) -> None:
    for arguments, expected, part in [
        (("show", "nothing"), ExitCode.FAILURE, "no policy of cleanup is named 'nothing'"),
        (("run", "names", "--rows", "0"), ExitCode.USAGE, "rows"),
        (("run", "old-orders", "--rows", "100001"), ExitCode.FAILURE, "the policy allows 100000"),
        (("restore", "names", "some-run"), ExitCode.FAILURE, "its action is anonymise"),
        (("restore", "old-orders"), ExitCode.FAILURE, "say which run to restore"),
        (("restore", "old-orders", "some-run"), ExitCode.FAILURE, "some-run has archived no rows"),
        (("restore", "old-orders", "a", "--table", "secrets"), ExitCode.FAILURE, "and not secrets"),
        (("restore", "old-orders", "a b"), ExitCode.USAGE, "run"),
    ]:
        code, _, said = await terminal.run(*arguments)
        assert (code, part in said) == (expected, True), (arguments, said)


async def test_a_file_is_checked_without_a_connection(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal("cleanup", "", monkeypatch, capsys)
    good, elsewhere, wrong = tmp_path / "good.yaml", tmp_path / "elsewhere.yaml", tmp_path / "wrong.yaml"
    text = "connection: away\ntable: orders\nwhere: {age: {column: day, older_than: 90d}}\naction: delete\n"
    good.write_text(text)
    elsewhere.write_text(text.replace("orders", "invoices"))
    wrong.write_text(text.replace("90d", "soon"))
    said = await terminal.findings("check", str(good), str(elsewhere), str(wrong))
    assert [(one["check"], one["status"]) for one in said["findings"]] == [
        ("good.yaml", "ok"),
        ("elsewhere.yaml", "warn"),
        ("wrong.yaml", "fail"),
    ]
    assert "where.age.older_than: expected a number with a unit" in said["findings"][2]["detail"]
    assert "CELERIAC_CLEANUP_TABLES" in said["findings"][1]["detail"]


async def test_the_doctor_names_policies_that_would_be_slow_or_refused(terminal: Terminal, shop: Shop) -> None:
    with closing(sqlite3.connect(shop.file)) as connection:
        connection.execute("DROP INDEX items_of_order")
        try:
            said = {one["check"]: one for one in (await terminal.findings(family="doctor"))["findings"]}
        finally:
            connection.execute("CREATE INDEX items_of_order ON order_items (order_id)")
    policy = said["cleanup: policy old-orders"]
    assert policy["status"] == "warn"
    assert "CREATE INDEX order_items_order_id ON order_items (order_id)" in policy["detail"]
    assert said["cleanup: policy names"]["status"] == "ok"
    assert "cleanup: policy far-away" not in said, "its connection does not answer"
    said = {one["check"]: one for one in (await terminal.findings(family="doctor"))["findings"]}
    assert said["cleanup: policy old-orders"]["status"] == "ok"


async def test_a_wrong_file_keeps_nobody_from_pausing_another_policy(
    terminal: Terminal, cleaned_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(cleaned_folder / "policies", tmp_path / "policies")
    (tmp_path / "policies" / "bad.yaml").write_text("connection: nowhere")
    monkeypatch.setenv("CELERIAC_CLEANUP_FOLDER", str(tmp_path / "policies"))
    code, printed, errors = await terminal.run("pause", "old-orders")
    assert (code, "paused" in printed) == (0, True)
    assert errors.startswith(f"warning: {tmp_path}/policies/bad.yaml: table: is missing")
    assert (await terminal.run("resume", "old-orders"))[0] == 0
    findings = (await terminal.findings(family="doctor"))["findings"]
    (found,) = [one for one in findings if one["check"] == "cleanup: policies"]
    assert (found["status"], "bad.yaml: table: is missing" in found["detail"]) == ("fail", True)


async def test_the_doctor_looks_at_connections_and_at_the_archives(terminal: Terminal, shop: Shop) -> None:
    said = await terminal.findings(family="doctor")
    found = {one["check"]: one for one in said["findings"]}
    assert found["cleanup: shop"]["status"] == "ok"
    assert found["cleanup: away"]["status"] == found["cleanup: mute"]["status"] == "fail"
    assert found["cleanup: archives"]["status"] == "ok"
    assert "secret-password" not in str(said)
    shop.archives.mkdir(exist_ok=True)
    shop.archives.chmod(0o777)
    try:
        said = await terminal.findings(family="doctor")
        found = {one["check"]: one for one in said["findings"]}
        assert found["cleanup: archives"]["status"] == "fail"
    finally:
        shop.archives.chmod(0o700)
