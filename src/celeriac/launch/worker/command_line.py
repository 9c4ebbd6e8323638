"""Reads the command line of `celeriac worker` without typer, whose import takes a tenth of a worker's start.

Anything unusual is left to typer (`cli/main.py`), with its messages and help.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from celeriac.core.files import keep_private
from celeriac.discovery import warn_of_what_is_set
from celeriac.launch.worker.shards import run_shards
from celeriac.settings import load_settings

MOST_SHARDS = 1000
_DIGITS = 9


@dataclass(frozen=True, kw_only=True)
class WorkerLine:
    """The parsed command line. `extra` are options of `celery worker`."""

    app: str | None = None
    data_dir: Path | None = None
    shards: int | None = None
    concurrency: int | None = None
    extra: Sequence[str] = ()


def read(arguments: Sequence[str]) -> WorkerLine | None:
    """Read the arguments after `celeriac worker`. Return None if typer should read them, to show help or an error."""
    given: dict[str, str] = {}
    extra: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name in ("--app", "--data-dir", "--shards", "--concurrency") or argument == "-A":
            if not equals:
                value = rest.pop(0) if rest else ""
            if not value or value.startswith("-"):
                return None
            given["app" if argument == "-A" else name.removeprefix("--").replace("-", "_")] = value
        elif argument in ("--", "--help") or (argument[:1] == "-" != argument[1:2] and "A" in argument):
            return None
        else:
            extra.append(argument)
    shards, concurrency = _number(given, "shards"), _number(given, "concurrency")
    if 0 in (shards, concurrency) or (shards or 1) > MOST_SHARDS:
        return None
    data_dir = Path(given["data_dir"]) if "data_dir" in given else None
    return WorkerLine(app=given.get("app"), data_dir=data_dir, shards=shards, concurrency=concurrency, extra=extra)


def _number(given: dict[str, str], name: str) -> int | None:
    """Return an option's number, or 0, which no option accepts, if it is not a number."""
    if name not in given:
        return None
    value = given[name]
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= _DIGITS else 0


def run(line: WorkerLine) -> None:
    """Run the worker. Raises as `run_shards` and `load_settings` do."""
    settings = load_settings(
        app=line.app, data_dir=line.data_dir, worker_shards=line.shards, worker_concurrency=line.concurrency
    )
    keep_private(settings.data_dir)
    run_shards(settings, line.extra, sys.stderr)


def main(line: WorkerLine) -> None:
    """Do what typer does before a command, and run the worker."""
    warn_of_what_is_set()
    run(line)
