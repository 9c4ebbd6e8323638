"""What `celeriac jobs` prints."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from celeriac.cli.jobs import _print_table, described
from celeriac.core.records import JobRecord
from celeriac.core.states import JobState


def test_a_traceback_is_shown_as_one_below_the_rest_and_nothing_moves_the_cursor() -> None:
    traceback = 'Traceback (most recent call last):\n  File "shop.py", line 7\nValueError: \x1b[2Jno\n'
    error = {"type": "ValueError", "message": "no\nhinges\x1b[2J", "traceback": traceback}
    record = {"id": "a", "task": "t\r\x1b[1A", "arguments": {"a": 1}, "error": error, "worker": None}
    assert list(described(record)) == [
        "id               a",
        r"task             t\r\x1b[1A",
        'arguments        {"a":1}',
        r"error            ValueError: no\nhinges\x1b[2J",
        "",
        'Traceback (most recent call last):\n  File "shop.py", line 7\nValueError: \\x1b[2Jno',
    ]
    assert list(described({"id": "a", "error": None})) == ["id               a"]


def test_a_list_shows_names_as_they_are_whatever_a_stranger_called_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    names = {"id": "a[red]b", "task": "[/]\x1b[2J\n[link=x]", "queue": "celery", "state": JobState.FAILED}
    _print_table([JobRecord(**names, created_at=now, updated_at=now)])  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert "a[red]b" in printed
    assert r"[/]\x1b[2J\n[link=x]" in printed
    assert "failed" in printed
    assert "\x1b[2J" not in printed
