"""`celeriac email`: mailings from a terminal, through a real worker, in the built-in and in a user's application."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from celeriac import Settings
from celeriac.cli import ExitCode
from celeriac.families.email.demo.sink import MailSink
from celeriac.launch.resources.ports import free_port
from celeriac.settings import as_environment
from celeriac.storage.storage import Storage
from tests.support.mailing_api import table
from tests.support.terminal import Terminal
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

APP = "tests.support.shop_with_mail:app"


@pytest.fixture
def environment(settings: Settings, sink: MailSink) -> dict[str, str]:
    return {**as_environment(settings), "CELERIAC_SMTP_URL": sink.url, "CELERIAC_MAIL_FROM": "a@example.com"}


@pytest.fixture
def terminal(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "tests.support.shop_with_mail", raising=False)  # it reads them when imported
    return Terminal("email", APP, monkeypatch, capsys)


@pytest.fixture
def letter(tmp_path: Path) -> tuple[str, ...]:
    """Arguments of `send`: three recipients, a subject and a text."""
    (tmp_path / "customers.csv").write_text(table(3))
    (tmp_path / "letter.txt").write_text("Dear {{ name }},\nyour order {{ order }}.\n")
    return (str(tmp_path / "customers.csv"), "--subject", "Order {{ order }}", "--text", str(tmp_path / "letter.txt"))


async def test_a_mailing_is_sent_and_read_from_a_terminal(
    terminal: Terminal,
    letter: tuple[str, ...],
    environment: dict[str, str],
    sink: MailSink,
    start_mail_worker: Callable[[str], Worker],
) -> None:
    start_mail_worker(APP)
    sink.answer("user2@example.com", 550, "no such user")
    sent = await terminal.json("send", *letter, "--wait", "--key", "monday")
    mailing = sent.pop("id")
    assert sent == {"recipients": 3, "sent": 2, "failed": 1}
    assert (await terminal.json("send", *letter, "--key", "monday")) == {"id": mailing}, "the same mailing"
    assert sink.mails_per_recipient() == {"user1@example.com": 1, "user3@example.com": 1}
    shown = await terminal.json("show", mailing)
    assert shown == shown | {
        **{"id": mailing, "state": "done", "sender": "a@example.com", "subject": "Order {{ order }}"},
        **{"recipients": 3, "sent": 2, "failed": 1, "open": 0, "stopped": None},
    }
    assert await terminal.json("list") == [shown]
    (failed,) = await terminal.json("recipients", mailing)
    assert (failed["row"], failed["email"], failed["code"]) == (3, "user2@example.com", 550)
    assert "no such user" in failed["error"]
    assert len(await terminal.json("recipients", mailing, "--status", "all")) == 3
    _, printed, _ = await terminal.run("recipients", mailing, "--status", "sent")
    assert [line.split("\t")[1] for line in printed.splitlines()] == ["email", "user1@example.com", "user3@example.com"]
    _, printed, _ = await terminal.run("recipients", mailing, "--status", "pending")
    assert printed == "no pending recipients; --status all shows all\n"
    _, printed, told = await terminal.run("recipients", mailing, "--status", "sent", "--limit", "1")
    assert [line.split("\t")[1] for line in printed.splitlines()] == ["email", "user1@example.com"]
    assert told == "only the first 1 are shown: --limit shows more\n"
    command = [sys.executable, "-m", "celeriac", "email", "list", "--json"]
    built_in_app = {**os.environ, **environment, "CELERIAC_APP": "celeriac.worker:c_app"}
    built_in = await asyncio.to_thread(
        subprocess.run,
        command,
        env=built_in_app,
        capture_output=True,
    )
    assert json.loads(built_in.stdout) == [shown], built_in.stderr


async def test_a_mailing_is_steered_from_a_terminal(terminal: Terminal, letter: tuple[str, ...]) -> None:
    mailing = (await terminal.json("send", *letter, "--draft", "--not-after", "2099-01-01T00:00:00Z"))["id"]
    shown = await terminal.json("show", mailing)
    assert (shown["state"], shown["not_after"]) == ("draft", "2099-01-01T00:00:00.000Z")
    code, _, errors = await terminal.run("pause", mailing)
    assert (code, errors) == (
        ExitCode.STATE,
        "celeriac: error: the mailing is draft, so it cannot be paused\n",
    )
    for command, state in (("start", "sending"), ("pause", "paused"), ("resume", "sending")):
        assert (await terminal.json(command, mailing))["state"] == state
    assert (await terminal.json("cancel", mailing))["state"] == "cancelled"
    shown = await eventually(lambda: terminal.json("show", mailing))
    assert (shown["state"], shown["open"]) == ("cancelled", 3)


async def test_what_cannot_be_sent_is_one_line_and_an_exit_code(
    terminal: Terminal, letter: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, *rest = letter
    (tmp_path / "bad.csv").write_text("email,name,order\nada@,Ada,1\n")
    code, _, errors = await terminal.run("send", str(tmp_path / "bad.csv"), *rest)
    assert (code, errors.count("\n")) == (ExitCode.FAILURE, 1)
    assert "row 2, column email" in errors
    code, _, errors = await terminal.run("send", file, *rest, "--sender", "nobody")
    assert code == ExitCode.USAGE and "sender" in errors
    code, _, errors = await terminal.run("send", file, "--subject", "Hello")
    assert code == ExitCode.USAGE and errors.endswith(": give --text FILE, --html FILE or --mjml FILE\n")
    code, _, errors = await terminal.run("recipients", "0000", "--status", "lost")
    assert code == ExitCode.USAGE and "'--status': 'lost' is not one of" in errors
    code, _, errors = await terminal.run("show", "0000")
    assert (code, errors) == (ExitCode.FAILURE, "celeriac: error: no mailing with id '0000' is known\n")
    assert await terminal.json("list") == []
    monkeypatch.delenv("CELERIAC_SMTP_URL")
    monkeypatch.delitem(sys.modules, "tests.support.shop_with_mail")
    code, _, errors = await terminal.run("send", *letter)
    assert code == ExitCode.CONFIGURATION and "CELERIAC_SMTP_URL" in errors


async def test_a_mailing_of_which_the_broker_has_not_heard_is_named(
    terminal: Terminal, letter: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", f"redis://127.0.0.1:{free_port()}")
    code, _, said = await terminal.run("send", *letter)
    (mailing,) = re.findall("the mailing ([0-9a-f-]{36}) is stored", said)
    assert (code, "resume or cancel it" in said) == (ExitCode.UNAVAILABLE, True)
    assert [one["id"] for one in await terminal.json("list")] == [mailing]


async def test_a_mailing_has_its_list_and_its_own_limits_from_the_command_line(
    terminal: Terminal, letter: tuple[str, ...], sink: MailSink, start_mail_worker: Callable[[str], Worker]
) -> None:
    code, _, errors = await terminal.run("send", *letter, "--stop-hard", "101")
    assert (code, errors.count("\n")) == (ExitCode.USAGE, 1) and "less than or equal to 100" in errors
    file, *rest = letter
    Path(file).write_text(table(200))
    start_mail_worker(APP)
    sink.answer("*", 550, "5.1.1 no such user")
    limits = ("--stop-hard", "40", "--stop-soft", "50", "--stop-after", "2")
    code, _, _ = await terminal.run("send", file, *rest, *limits, "--list", "news", "--wait")
    assert code == ExitCode.FAILURE
    (shown,) = await terminal.json("list")
    assert shown["state"] == "stopped" and "the limit is 40 %" in shown["stopped"]
    headers = (await terminal.json("preview", *letter, "--list", "news"))["headers"]
    assert headers["List-Id"] == "<news.example.com>"


async def test_a_file_of_a_job_is_attached(
    terminal: Terminal,
    letter: tuple[str, ...],
    settings: Settings,
    sink: MailSink,
    start_mail_worker: Callable[[str], Worker],
) -> None:
    storage = Storage(settings)
    writing = await storage.artifacts.begin("job-1", "a b.txt")
    await writing.write(b"a file")
    await storage.artifacts.publish("job-1", writing)
    start_mail_worker(APP)
    made = await terminal.json("send", *letter, "--attach", "job-1/a b.txt", "--wait")
    assert made["sent"] == 3
    for wrong, told in (("job-1", "name: Field required"), ("job-1/x.txt", "job 'job-1' has no file 'x.txt'")):
        code, printed, errors = await terminal.run("send", *letter, "--attach", wrong)
        assert (code != 0, printed, told in errors) == (True, "", True), errors


async def test_a_mail_is_previewed_and_tested_from_a_terminal(
    terminal: Terminal, tmp_path: Path, sink: MailSink, start_mail_worker: Callable[[str], Worker]
) -> None:
    start_mail_worker(APP)
    (tmp_path / "customers.csv").write_text(table(3))
    (tmp_path / "letter.mjml").write_text(
        "<mjml><mj-body><mj-section><mj-column><mj-text>Dear {{ name }},</mj-text></mj-column></mj-section>"
        "</mj-body></mjml>"
    )
    letter = (
        str(tmp_path / "customers.csv"),
        "--subject",
        "Order {{ order }}",
        "--mjml",
        str(tmp_path / "letter.mjml"),
    )
    shown = await terminal.json("preview", *letter, "--row", "3")
    assert (shown["to"], shown["subject"], shown["text"]) == ("user2@example.com", "Order 2", "Dear User 2,\n")
    assert "Dear User 2," in shown["html"]
    sent = await terminal.json("test", *letter, "--to", "boss@example.com", "--wait")
    assert (sent["to"], sent["code"]) == ("boss@example.com", 250)
    assert sink.mails_per_recipient() == {"boss@example.com": 1}
    assert await terminal.json("list") == []
