"""What the options of `celeriac report run` ask for, as members of a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeriac.core.errors import CommandLineWrong
from celeriac.core.faults import sentence

if TYPE_CHECKING:
    from celeriac.families.reports.request import ReportRequest


def source_of(
    name: str | None, parameters: Sequence[str], file: Path | None, sql: Path | None, connection: str | None
) -> dict[str, Any]:
    """Return the source that was named; nothing for a file, which is to be uploaded first.

    Raises:
        CommandLineWrong: none was named, or several, or a parameter has no value.
    """
    if sum(one is not None for one in (name, file, sql)) != 1:
        raise CommandLineWrong("name one source: NAME, --file FILE, or --sql FILE with --connection")
    if (sql is None) != (connection is None):
        raise CommandLineWrong("--sql and --connection belong together")
    given: dict[str, str] = {}
    for pair in parameters:
        key, found, value = pair.partition("=")
        if not found:
            raise CommandLineWrong(f"--param {pair}: expected NAME=VALUE")
        given[key] = value
    if sql is not None:
        return {"sql": _text("--sql", sql), "connection": connection, "parameters": given}
    return {"name": name, "parameters": given} if name is not None else {}


def columns_of(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return how columns look.

    Raises:
        CommandLineWrong: one is not NAME.MEMBER=VALUE.
    """
    found: dict[str, dict[str, str]] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        name, point, member = key.rpartition(".")
        if not (equals and point and name and member):
            raise CommandLineWrong(f"--column {pair}: expected NAME.MEMBER=VALUE, such as total.currency=EUR")
        found.setdefault(name, {})[member] = value
    return found


def layout_of(path: Path) -> dict[str, Any]:
    """Return the layout in a file of JSON.

    Raises:
        CommandLineWrong: it has none.
    """
    text = _text("--layout", path)
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise CommandLineWrong(f"--layout {path}: is no JSON object: {error}") from None


def _text(option: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise CommandLineWrong(f"{option} {path}: cannot be read as UTF-8: {error}") from None


def validated(given: dict[str, Any]) -> ReportRequest:
    """Return the request.

    Raises:
        CommandLineWrong: it is wrong; the message names each fault.
    """
    from pydantic import ValidationError

    from celeriac.families.reports.request import ReportRequest

    try:
        return ReportRequest.model_validate(given)
    except ValidationError as error:
        raise CommandLineWrong(sentence(error.errors(), "options")) from None
