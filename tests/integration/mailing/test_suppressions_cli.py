"""`celeriac email suppressions` on a user's application."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from celeriac import Settings
from celeriac.cli import ExitCode
from celeriac.settings import as_environment
from tests.support.terminal import Terminal

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def terminal(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "tests.support.shop_with_mail", raising=False)  # it reads them when imported
    return Terminal("email", "tests.support.shop_with_mail:app", monkeypatch, capsys)


async def test_addresses_are_added_listed_exported_imported_and_removed(terminal: Terminal, tmp_path: Path) -> None:
    added = await terminal.json("suppressions", "add", "Ann@Example.com", "--list", "news")
    assert added == {"email": "ann@example.com", "list": "news", "new": True}
    code, printed, _ = await terminal.run("suppressions", "add", "ann@example.com", "--list", "news")
    assert (code, printed) == (0, "ann@example.com was suppressed already for the list news\n")
    (one,) = await terminal.json("suppressions", "list")
    assert list(one.values())[:4] == ["ann@example.com", "news", "manual", "command line"]
    file = tmp_path / "out.csv"
    assert (await terminal.run("suppressions", "export", str(file)))[0] == 0
    assert file.read_text().startswith("email,list,reason,source,created\nann@example.com,news,manual,command line,")
    code, printed, _ = await terminal.run("suppressions", "remove", "ann@example.com", "--list", "news")
    assert (code, printed) == (0, "ann@example.com gets mail again for the list news\n")
    assert await terminal.json("suppressions", "import", str(file)) == {"rows": 1}
    _, printed, _ = await terminal.run("suppressions", "list")
    assert [line.split("\t")[:3] for line in printed.splitlines()][1] == ["ann@example.com", "news", "manual"]


async def test_wrong_input_is_one_line_and_an_exit_code(terminal: Terminal, tmp_path: Path) -> None:
    code, _, errors = await terminal.run("suppressions", "add", "nobody")
    assert (code, errors.count("\n")) == (ExitCode.USAGE, 1)
    code, _, errors = await terminal.run("suppressions", "add", "a@example.com", "--list", "a b")
    assert code == ExitCode.USAGE and "--list" in errors
    (tmp_path / "bad.csv").write_text("email\nada@example.com\nada@\n")
    code, _, errors = await terminal.run("suppressions", "import", str(tmp_path / "bad.csv"))
    assert code == ExitCode.FAILURE and "row 3, column email" in errors
    code, _, errors = await terminal.run("suppressions", "export", str(tmp_path / "no" / "out.csv"))
    assert code == ExitCode.USAGE and "cannot be written" in errors
    assert await terminal.json("suppressions", "list") == []
