"""Options and output that Celeriac's commands and those of job families share.

They print JSON for scripts, or tables. A table fits into a terminal. Elsewhere it is lines of tab-separated fields.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from celeriac.core import codec
from celeriac.core.errors import CommandLineWrong, FamilyAbsent
from celeriac.core.exits import ExitCode
from celeriac.core.findings import Finding, Status
from celeriac.core.states import JobState
from celeriac.core.text_table import Column, fitted
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

#: The characters of a bar of progress.
_BAR = 30
#: Goes back to the beginning of a line, and empties it.
_CLEAR = "\r\x1b[K"
_GRAVITY = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}
#: The columns to the left of a finding's text, and the fewest for the text in which it is wrapped.
_BESIDE, _NARROWEST = 19, 30
#: The columns whose cells have the colours of states.
_STATES = ("state", "last run")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


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


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    as_json: Any = None,
    nothing: str = "",
    shrinking: Collection[str] = (),
    keeping_end: Collection[str] = (),
    colours: Mapping[str, str] | None = None,
) -> None:
    """Print fields of rows as a table, or `as_json` in its place.

    Args:
        rows: what has the fields.
        names: of the fields, which are the columns.
        as_json: what `--json` prints; None without that option.
        nothing: what to say if there are no rows.
        shrinking: columns that may be cut in a narrow terminal.
        keeping_end: those of them whose beginning is cut off.
        colours: by what a cell of a state says.
    """
    if as_json is not None:
        print_json(as_json)
    elif not rows:
        typer.echo(nothing)
    else:
        columns = [
            Column(
                name=name.replace("_", " "),
                shortest=20 if name in (*shrinking, *keeping_end) else None,
                keeps_end=name in keeping_end,
                right=all(_is_number(row[name]) for row in rows),
                colour=(colours or {}).get if name in _STATES else lambda _: None,
            )
            for name in names
        ]
        print_table(columns, [[_row_cell(row[name]) for name in names] for row in rows])


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _row_cell(value: Any) -> str:
    """Return a value as the text of a row's cell. Scripts that read lines get numbers without commas."""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:,}" if isinstance(value, int) and is_terminal() else shown_cell(value)


def shown_cell(value: Any) -> str:
    """Return a value as the text of a table's cell."""
    if value is None:
        return ""
    return ", ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)


async def watch(application: JobApp, job_id: str, *, unit: str) -> None:
    """Show on stderr why and until when a job waits, until it has ended; on a terminal, its progress as well.

    `unit` is what it counts.
    """
    shows_progress, reason = sys.stderr.isatty(), ""
    async for event in application.client.events(job_id):
        if event is not None and event.data.get("state") == JobState.RETRYING:
            record = await application.client.get(job_id)
            if record.error is not None and record.delay_until is not None and record.error.message != reason:
                reason = record.error.message
                until = f"{record.delay_until.astimezone():%Y-%m-%d %H:%M:%S}"
                sys.stderr.write(f"{_CLEAR if shows_progress else ''}waits until {until}: {printable(reason)}\n")
        if event is None or event.name != "progress" or not shows_progress:
            continue
        line = progress_line(event.data["done"], event.data["total"], event.data["message"], unit)
        sys.stderr.write(f"\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        sys.stderr.flush()
    if shows_progress:
        sys.stderr.write(_CLEAR)


def progress_line(done: float, total: float | None, message: str, unit: str) -> str:
    """Return how far a job is, in one line. Without a total, a bar would say nothing."""
    if not total:
        return f"{done:,.0f} {unit}  {printable(message)}"
    share = min(1.0, done / total)
    return f"{('█' * round(share * _BAR)).ljust(_BAR, '·')} {share:4.0%}  {printable(message)}"


def warn_of(errors: Iterable[Exception]) -> None:
    """Name on stderr what is wrong beside what the command is about."""
    for error in errors:
        typer.echo(f"warning: {printable(str(error))}", err=True)


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


def printable(text: str) -> str:
    """Return a stranger's text in one line, with the characters escaped that would control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
