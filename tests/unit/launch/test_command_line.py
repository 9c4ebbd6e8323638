"""The command line of `celeriac worker` is read without typer, as typer would read it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.cli import cli
from celeriac.launch.worker import command_line
from celeriac.launch.worker.command_line import WorkerLine, read

WORDS = (
    *("-A", "--app", "--app=shop:app", "shop:app", "-Ashop:app", "--data-dir", "--data-dir=/data", "/data"),
    *("--shards", "--shards=2", "--shards=1001", "--shards=x", "2", "0", "-1", "", "--concurrency", "--concurrency=10"),
    *("-n", "mail@%h", "-l", "-lINFO", "--loglevel=debug", "--loglevel", "-E", "-EA", "-P", "solo", "--pool=solo"),
    *("--", "-", "--help", "--apps", "--no-color", "-Q", "a,b", "--shard", "=", "--="),
)


@cache
def command() -> Any:
    """What `cli` makes of its functions at each call, which takes longer than reading a line."""
    return typer.main.get_command(cli)


def read_by_typer(arguments: list[str], patch: pytest.MonkeyPatch) -> WorkerLine | None:
    """What the command gets; None if typer does not run it."""
    seen: list[WorkerLine] = []
    patch.setattr(command_line, "run", seen.append)
    try:
        command()(["worker", *arguments], standalone_mode=False)
    except Exception:
        return None
    return seen[0] if seen else None


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_is_read_is_what_typer_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    line = read(arguments)
    if line is not None:
        assert line == read_by_typer(arguments, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--app", "shop:app", "--shards", "2"], {"app": "shop:app", "shards": 2}),
        (["-A", "shop:app", "-Q", "mail"], {"app": "shop:app", "extra": ["-Q", "mail"]}),
        (["--concurrency=7"], {"concurrency": 7}),
        (["-n", "mail@%h", "--shards", "1", "-E"], {"shards": 1, "extra": ["-n", "mail@%h", "-E"]}),
    ],
)
def test_a_plain_line_needs_no_typer(arguments: list[str], expected: dict[str, Any]) -> None:
    assert read(arguments) == WorkerLine(**{"extra": [], **expected})


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--shards", "0"], ["--shards", "many"], ["--shards", "9" * 5000], ["--app"], ["-EA", "x"]],
)
def test_help_and_errors_are_left_to_typer(arguments: list[str]) -> None:
    assert read(arguments) is None
