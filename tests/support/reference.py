"""The parts of docs/reference that follow from the code. `python -m tests.support.reference` writes them anew."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import typer.main
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

import celeriac
import celeriac.families.cleanup.errors  # errors of families are on the page, too
import celeriac.families.email.errors
import celeriac.families.media.errors
import celeriac.families.reports.errors
import celeriac.families.reports.rendering.errors
import celeriac.families.sync.errors
import celeriac.families.webhooks.errors
import celeriac.families.webhooks.refusals
from celeriac import JobState, Settings, testing
from celeriac.asgi import create_api
from celeriac.cli import cli
from celeriac.client.client import JobClient
from celeriac.core import errors
from celeriac.core.exits import ExitCode
from celeriac.core.states import CELERY_STATES, TRANSITIONS
from celeriac.discovery import present, settings_classes
from celeriac.engine import options
from celeriac.engine.app import JobApp
from celeriac.engine.options import Fate, Option, Where
from celeriac.families.cleanup.policy import Policy
from celeriac.families.reports.rendering.described import attributes_of
from celeriac.families.reports.rendering.model import CsvOptions, Layout, Theme
from celeriac.families.reports.request import ColumnChoice, ReportRequest
from celeriac.families.sync.model import Sync
from tests.support.reference_definitions import attribute_docstrings, definition
from tests.support.workers import ROOT

REFERENCE = ROOT / "docs" / "reference"
#: Of the application and its client, what is for users; the rest is for Celeriac's own layers.
_APPLICATION = frozenset({"client", "job", "limits", "schedule"})
_CLIENT = ("get", "page", "wait", "outcome", "result", "events", "cancel", "retry", "ping", "aclose")
_IN_PROCESS = ("all", "now", "of")
_SECTION = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: Path) -> str:
    """The page with its generated sections as they should be."""
    return _SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n\n{found[3]}", page.read_text())


def settings() -> str:
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for kind in (Settings, *settings_classes()):
        described = attribute_docstrings(kind)
        for name in described:
            field = kind.model_fields[name]
            rows.append(f"| `CELERIAC_{name.upper()}` | {_default(field.default)} | {_cell(described[name])} |")
    return "\n".join(rows)


def transitions() -> str:
    rows = ["| From | To |", "|---|---|"]
    for state in JobState:
        targets = ", ".join(f"`{target}`" for target in JobState if target in TRANSITIONS[state])
        rows.append(f"| `{state}` | {targets or 'none: it is final'} |")
    return "\n".join(rows)


def celery_states() -> str:
    return "\n".join(
        [
            "| Job | Celery, Flower |",
            "|---|---|",
            *(f"| `{state}` | `{name}` |" for state, name in CELERY_STATES.items()),
        ]
    )


def error_tree() -> str:
    rows: list[str] = []

    def add(kind: type, depth: int) -> None:
        public = f"`{kind.__name__}`" if kind.__name__ in celeriac.__all__ else kind.__name__
        rows.append(f"{'  ' * depth}- {public}: {_first_paragraph(kind)}")
        # As in their module, those of the core first: not in the order in which a process imported modules.
        below = sorted(kind.__subclasses__(), key=lambda child: (child.__module__ != errors.__name__, child.__module__))
        for child in below:
            if child.__module__.endswith(".errors"):
                add(child, depth + 1)

    add(errors.CeleriacError, 0)
    for kind in vars(errors).values():
        if isinstance(kind, type) and kind.__base__ is BaseException:
            add(kind, 0)
    return "\n".join(rows)


def routes() -> str:
    rows = ["| Method and path | | Statuses |", "|---|---|---|"]
    for method, path, operation in operations(create_api(Settings(broker_url=SecretStr("redis://127.0.0.1:1")))):
        statuses = ", ".join(sorted({*operation["responses"]} - {"default"}))
        rows.append(f"| `{method} {path}` | {operation['summary']} | {statuses} |")
    return "\n".join(rows)


def operations(api: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The operations of an API; that of the job `celeriac.echo` stands for those of all jobs."""
    for path, item in api.openapi()["paths"].items():
        for method, operation in item.items():
            if path == "/jobs/celeriac.echo":
                yield "POST", "/jobs/{task}", {**operation, "summary": "Submit a job"}
            elif not path.startswith("/jobs/celeriac."):
                yield method.upper(), path, operation


def commands() -> str:
    parts: list[str] = []

    def add(command: Any, path: str) -> None:
        for name, child in getattr(command, "commands", {}).items():
            add(child, f"{path} {name}")
        if hasattr(command, "commands"):
            return
        arguments = "".join(
            f" {p.name.upper()}" if p.required else f" [{p.name.upper()}]" for p in _parameters(command, "argument")
        )
        parts.append(f"### `{path}{arguments}`\n\n{inspect.cleandoc(command.help or '')}\n")
        if rows := [_option(option) for option in _parameters(command, "option")]:
            parts.append("\n".join(["| Option | |", "|---|---|", *rows, ""]))

    add(typer.main.get_command(cli), "celeriac")
    for kind in present(Settings()):
        if kind.__module__.startswith("celeriac.") and (group := kind.commands()) is not None:
            add(typer.main.get_command(group), f"celeriac {kind.command or kind.name}")
    return "\n".join(parts).rstrip()


def _parameters(command: Any, kind: str) -> list[Any]:
    return [p for p in command.params if p.param_type_name == kind and p.name != "help"]


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return f"| {names} | {_cell(option.help or '')} |"


def exit_codes() -> str:
    described = attribute_docstrings(ExitCode)
    rows = [f"| {code.value} | {described.get(code.name, 'All went well.')} |" for code in ExitCode]
    return "\n".join(["| Code | |", "|---|---|", *rows])


def public_names() -> str:
    parts: list[str] = []
    for name in celeriac.__all__:
        thing = getattr(celeriac, name)
        if isinstance(thing, type) and issubclass(thing, BaseException):
            continue  # they are on the page of errors
        parts.append(f"## {name}\n")
        if not isinstance(thing, type):
            parts.append(_described(name, thing))
            continue
        parts += [_text(thing), *_values(thing)]
        parts += [_described(f"{name}.{member}", inspect.getattr_static(thing, member)) for member in _members(thing)]
        if thing is celeriac.Celeriac:
            parts += [_described(f"Celeriac.client.{n}", getattr(JobClient, n)) for n in _CLIENT]
    return "\n".join(parts).rstrip()


def testing_names() -> str:
    parts = [f"{inspect.getdoc(testing)}\n"]
    for name in testing.__all__:
        thing = getattr(testing, name)
        if not isinstance(thing, type):
            parts.append(_described(f"testing.{name}", inspect.unwrap(thing)))
            continue
        parts += [f"### `testing.{name}`\n", _text(thing)]
    for name in ("celeriac_jobs", "celeriac_worker"):
        parts.append(f"### Fixture `{name}`\n\n{_text(getattr(testing, name))}")
    parts += [_described(f"celeriac_jobs.{n}", inspect.getattr_static(testing.InProcessJobs, n)) for n in _IN_PROCESS]
    return "\n".join(parts).rstrip()


def _members(kind: type) -> list[str]:
    """What the class and its bases in Celeriac define for users, in the order of definition."""
    if kind is Settings:
        return []  # they have a page of their own
    found: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("celeriac."):
            found |= {name: None for name, member in vars(base).items() if _is_for_users(base, name, member)}
    return list(found)


def _is_for_users(base: type, name: str, member: Any) -> bool:
    if name.startswith("_") or (issubclass(JobApp, base) and name not in _APPLICATION):
        return False
    return isinstance(member, property | cached_property) or inspect.isfunction(member)


def _values(kind: type) -> list[str]:
    """The fields of a dataclass, the values of an enumeration."""
    if issubclass(kind, Enum):
        return [", ".join(f"`{value}`" for value in kind) + "\n"]
    if dataclasses.is_dataclass(kind):
        fields = [f for f in dataclasses.fields(kind) if "Callable" not in str(f.type)]
        return ["Fields: " + ", ".join(f"`{field.name}: {field.type}`" for field in fields) + "\n"]
    return []


def _described(title: str, thing: Any) -> str:
    signature = ""
    if inspect.isfunction(thing):
        parameters = list(inspect.signature(thing).parameters.values())
        shown = [_parameter(parameter) for parameter in parameters if parameter.name != "self"]
        signature = str(inspect.Signature(shown)).replace("Ellipsis", "...")
    prefix = "await " if inspect.iscoroutinefunction(thing) else ""
    return f"### `{prefix}{title}{signature}`\n\n{_text(thing)}"


def _parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter without its type, and without a default that is too long to read."""
    default = parameter.default if len(repr(parameter.default)) < 40 else ...
    return parameter.replace(annotation=parameter.empty, default=default)


def _text(thing: Any) -> str:
    """A docstring, as text: its layout is for terminals and editors."""
    return f"```text\n{inspect.getdoc(thing)}\n```\n"


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined or value == ():
        return "unset"
    return f"`{value}`"


def _first_paragraph(kind: type) -> str:
    return _cell((inspect.getdoc(kind) or "").partition("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def celery_options(table: dict[str, Option], prefix: str = "") -> Callable[[], str]:
    """One of the tables of Celery's options."""

    def rows() -> str:
        made = ["| Option | Outcome | Remark |", "|---|---|---|"]
        for name, option in sorted(table.items()):
            made.append(f"| `{prefix}{name}` | {option.fate.value} | {_cell(_remark(option))} |")
        return "\n".join(made)

    return rows


def _remark(option: Option) -> str:
    refusal, notes = option.refusal, [option.note] if option.note else []
    if refusal is not None:
        by = (
            ""
            if refusal.where is Where.ASYNCIO and option.fate is Fate.REFUSED
            else f"{refusal.where.value} refuses it: "
        )
        notes.append(by + refusal.reason)
    return "; ".join(notes)


def members(kind: type[BaseModel], *left_out: str) -> Callable[[], str]:
    """The members of a part of a request, as JSON has them."""

    def rows() -> str:
        made = ["| Member | Default | Meaning |", "|---|---|---|"]
        told = attributes_of(kind)
        for name, field in kind.model_fields.items():
            if name in left_out:
                continue
            default = field.default
            shown = _default(json.dumps(default)) if isinstance(default, str | bool | int) else "unset"
            choices = re.findall(r"'([\w-]+)'", str(field.annotation)) if "Literal" in str(field.annotation) else []
            named = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
            text = (field.description or told.get(name, "")).removesuffix(".")
            assert text, f"{kind.__name__}.{name} is not described"
            made.append(f"| `{name}` | {shown} | {_cell(f'{text}.{named}')} |")
        return "\n".join(made)

    return rows


SECTIONS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "transitions": transitions,
    "celery-states": celery_states,
    "errors": error_tree,
    "routes": routes,
    "commands": commands,
    "exit-codes": exit_codes,
    "public-names": public_names,
    "testing": testing_names,
    "report-request": members(ReportRequest),
    "report-layout": members(Layout, "password"),
    "report-theme": members(Theme, "font_folder"),
    "report-csv": members(CsvOptions),
    "report-columns": members(ColumnChoice),
    "sync-definition": definition(Sync),
    "cleanup-policy": definition(Policy),
    "celery-command-line": celery_options(options.COMMAND_LINE, "--"),
    "celery-settings": celery_options(options.SETTINGS),
    "celery-transport-options": celery_options(options.TRANSPORT),
}

if __name__ == "__main__":
    for page in sorted(REFERENCE.glob("*.md")):
        page.write_text(written(page))
