"""Options and output that Celeriac's commands and those of job families share.

They print JSON for scripts, or tables. A table fits into a terminal. Elsewhere it is lines of tab-separated fields.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from celeriac.core import codec
from celeriac.core.errors import CommandLineWrong, FamilyAbsent
from celeriac.core.exits import ExitCode
from celeriac.core.findings import Finding, Status
from celeriac.settings import wants_colour

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.family import JobFamily

T = TypeVar("T")
F = TypeVar("F", bound="JobFamily")

#: The option of each command that works on an application.
App = Annotated[
    str | None,
    typer.Option(
        "--app", "-A", metavar="MODULE:ATTRIBUTE", help="Your application. Default: CELERIAC_APP, or the built-in one."
    ),
]

#: The option of each command that scripts may call.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_GAP = "  "
#: The characters of a bar of progress.
_BAR = 30
_GRAVITY = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}
#: The columns to the left of a finding's text, and the fewest for the text in which it is wrapped.
_BESIDE, _NARROWEST = 19, 30
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, and how it may shrink in a narrow terminal.

    Attributes:
        name: the title.
        shortest: the width in characters to which it may be cut; None: never cut it.
        keeps_end: whether to cut off the beginning of a cell, rather than the end.
        dispensable: the order in which columns are left out, highest first; 0: never.
        right: whether to align cells to the right.
        colour: the colour of a cell, or None.
    """

    name: str
    shortest: int | None = None
    keeps_end: bool = False
    dispensable: int = 0
    right: bool = False
    colour: Callable[[str], str | None] = lambda _cell: None


def run(app: str | None, action: Callable[[JobApp], Awaitable[T]]) -> T:
    """Load the application that `--app` or the settings name, do `action` with it, and close its connections.

    Raises:
        ApplicationNotLoaded: the application does not exist, or cannot be imported.
        ConfigurationError: a setting is wrong.
    """
    from celeriac.application import Celeriac, load_app
    from celeriac.settings import load_settings
    from celeriac.store.redis.connection import naming

    application = load_app(load_settings(app=app).app)

    async def act() -> T:
        try:
            with naming(application.broker_address):
                return await action(application)
        finally:
            await application.client.aclose()
            if isinstance(application, Celeriac) and "database" in vars(application):
                await application.database.dispose()

    return asyncio.run(act())


def run_in_family(app: str | None, kind: type[F], action: Callable[[JobApp, F], Awaitable[T]]) -> T:
    """Do as `run` does, and pass `action` the application's job family of class `kind`.

    Raises:
        FamilyAbsent: the application does not host it.
    """

    async def act(application: JobApp) -> T:
        from celeriac.application import Celeriac

        if not isinstance(application, Celeriac):
            raise FamilyAbsent(f"a {type(application).__name__} hosts no job families; only a Celeriac does")
        return await action(application, application.family(kind))

    return run(app, act)


def folder_for_files(path: Path) -> Path:
    """Make the folder that `--output` names, before the command does its work.

    Raises:
        CommandLineWrong: it cannot be made, or no file in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise CommandLineWrong(f"--output {path}: files cannot be saved there: {error.strerror}") from None


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(codec.shown(value))


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells under the columns' names. Escape characters that would move a terminal's cursor."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if not is_terminal():
        for row in ([column.name for column in columns], *cells):
            typer.echo("\t".join(row))
        return
    for line in fitted(columns, cells, shutil.get_terminal_size().columns, coloured=wants_colour()):
        typer.echo(line)


def print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print named values, as a table without those that are empty."""
    if as_json:
        print_json(facts)
    else:
        shown = [[name, shown_cell(value)] for name, value in facts.items() if value not in (None, [], {}, "")]
        print_table([Column(name="what"), Column(name="value")], shown)


def shown_cell(value: Any) -> str:
    """Return a value as the text of a table's cell."""
    if value is None:
        return ""
    return ", ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)


async def watch(application: JobApp, job_id: str, *, unit: str) -> None:
    """Show a job's progress on the terminal of stderr until it has ended. `unit` is what it counts."""
    if not sys.stderr.isatty():
        await application.client.wait(job_id)
        return
    async for event in application.client.events(job_id):
        if event is None or event.name != "progress":
            continue
        done, total = event.data["done"], event.data["total"]
        share = min(1.0, done / total) if total else 0.0
        bar = ("█" * round(share * _BAR)).ljust(_BAR, "·")
        shown = f"{share:4.0%}" if total else f"{done:,.0f} {unit}"
        line = f"{bar} {shown}  {printable(event.data['message'])}"
        sys.stderr.write(f"\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        sys.stderr.flush()
    sys.stderr.write("\r\x1b[K")


def report(findings: Sequence[Finding], as_json: bool) -> None:
    """Print findings and their advice. End the command with exit code 1 if something fails."""
    is_healthy = all(finding.status is not Status.FAIL for finding in findings)
    if as_json:
        print_json({"ok": is_healthy, "findings": [finding.as_dict() for finding in findings]})
    else:
        width = shutil.get_terminal_size().columns if is_terminal() else None
        for line in finding_lines(findings, width):
            typer.echo(line)
    if not is_healthy:
        raise typer.Exit(ExitCode.FAILURE)


def finding_lines(findings: Sequence[Finding], width: int | None) -> list[str]:
    """Return findings as lines. With the width of a terminal, wrap them between words, but no line to copy."""
    lines = list[str]()
    room = 0 if width is None else width - _BESIDE
    for finding in findings:
        first, *more = [*_wrapped(finding.detail, room), *_wrapped(finding.advice, room)]
        more += [printable(finding.snippet)] if finding.snippet else []
        status = typer.style(f"{finding.status:<5}", fg=_GRAVITY[finding.status])
        lines.append(f"{status} {printable(finding.check):<12} {first}")
        lines += [f"{'':{_BESIDE}}{line}" for line in more]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Return a stranger's text in lines; one, unless there is a width."""
    shown = printable(text)
    if width < _NARROWEST:
        return [shown] if shown else []
    return textwrap.wrap(shown, width, break_on_hyphens=False)


def is_terminal() -> bool:
    """Return whether the output goes to a terminal that has a width."""
    return sys.stdout.isatty()


def age(moment: datetime | None) -> str:
    """Return how long ago `moment` was, in the largest whole unit. It is empty for None."""
    if moment is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    return next((f"{seconds // size}{unit}" for size, unit in _UNITS if seconds >= size), "0s")


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *, coloured: bool = False
) -> list[str]:
    """Return the lines of a table of `width` characters, its head first. Leave empty columns out."""
    table = [(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    table = [(column, cells) for column, cells in table if any(cells)]
    while _width(natural := [_natural(*part) for part in table]) > width:
        dispensable = max((column.dispensable for column, _ in table), default=0)
        if not dispensable:
            break
        table = [(column, cells) for column, cells in table if column.dispensable != dispensable]
    widths = _cut([column for column, _ in table], natural, width)
    lines = [_line([(column, column.name) for column, _ in table], widths, coloured=False)]
    for number in range(len(rows)):
        lines.append(_line([(column, cells[number]) for column, cells in table], widths, coloured=coloured))
    return lines


def _natural(column: Column, cells: Sequence[str]) -> int:
    return max(len(column.name), *map(len, cells))


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _cut(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Narrow the widest column that may be cut, until the table fits or no column can shrink further."""
    left = list(widths)
    while _width(left) > width:
        can_give = [i for i, c in enumerate(columns) if c.shortest is not None and left[i] > c.shortest]
        if not can_give:
            break
        left[max(can_give, key=left.__getitem__)] -= 1
    return left


def _line(cells: Sequence[tuple[Column, str]], widths: Sequence[int], *, coloured: bool) -> str:
    shown: list[str] = []
    for (column, cell), width in zip(cells, widths, strict=True):
        text = cell
        if len(cell) > width:
            text = f"…{cell[len(cell) - width + 1 :]}" if column.keeps_end else f"{cell[: width - 1]}…"
        padded = text.rjust(width) if column.right else text.ljust(width)
        colour = column.colour(cell) if coloured else None
        shown.append(padded if colour is None else typer.style(padded, fg=colour))
    return _GAP.join(shown).rstrip()


def printable(text: str) -> str:
    """Return a stranger's text in one line, with the characters escaped that would control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
