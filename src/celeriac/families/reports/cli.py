"""`celeriac report`: makes, lists and fetches reports without the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from celeriac.core.errors import CommandLineWrong, UnknownArtifact, UnknownJob
from celeriac.families.reports import ReportsFamily
from celeriac.families.reports.errors import ReportNotMade
from celeriac.families.reports.options import columns_of, layout_of, source_of, validated
from celeriac.terminal import App, AsJson, Column, age, folder_for_files, print_json, print_table, run_in_family, watch

if TYPE_CHECKING:
    from celeriac.core.artifact import Artifact
    from celeriac.core.records import JobRecord
    from celeriac.engine.app import JobApp

T = TypeVar("T")

report = typer.Typer(name="report", help="Make reports, and fetch their files.", no_args_is_help=True)

ReportId = Annotated[str, typer.Argument(help="The report's id, which is also its job's id.")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")]

_COLOURS = {"succeeded": "green", "failed": "red", "dead": "red"}


@report.command()
def run(
    source: Annotated[
        str | None, typer.Argument(help="The name of a source; `celeriac report sources` lists them.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE of a parameter.")] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A CSV, XLSX or Parquet file as the source.")
    ] = None,
    sql: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file with a query; needs --connection.")
    ] = None,
    connection: Annotated[str | None, typer.Option(help="A name of CELERIAC_REPORTS_CONNECTIONS, for --sql.")] = None,
    formats: Annotated[str, typer.Option("--format", "-f", help="pdf, xlsx, csv, parquet, html; by commas.")] = "pdf",
    layout: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A JSON file with the layout.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="NAME.MEMBER=VALUE of a column: title, kind, currency, unit, total or decimals."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The title, in place of the layout's.")] = None,
    name: Annotated[str | None, typer.Option(help="The files' name, without its extension.")] = None,
    password: Annotated[str | None, typer.Option(help="Encrypt the PDF: a name of CELERIAC_REPORTS_PASSWORDS.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make each file anew.")] = False,
    output: Folder = Path(),
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Make a report, wait for it, and save its files."""
    given = {
        "source": source_of(source, param or [], file, sql, connection),
        "formats": [part.strip() for part in formats.split(",") if part.strip()],
        "layout": {**(layout_of(layout) if layout else {}), **({"title": title} if title else {})},
        "columns": columns_of(column or []),
        "file_name": name or source or (file.stem if file else "report"),
        "password": {"name": password} if password is not None else None,
        "force": force,
    }

    folder_for_files(output)

    async def act(application: JobApp, family: ReportsFamily) -> dict[str, Any]:
        from celeriac.families.reports.checking import check_request
        from celeriac.storage.local import send

        if file is not None:
            given["source"] = {"upload": (await send(application.storage.uploads, file, owner="celeriac report")).id}
        request = validated(given)
        await check_request(application, family.sources, family.settings, request, owner=None)
        handle = await family.job.enqueue(request)
        await watch(application, handle.id, unit="rows")
        outcome = await handle.result()
        found = {artifact.name: artifact for artifact in await application.storage.artifacts.of(handle.id)}
        saved = await _saved(application, [found[made.name] for made in outcome.files], output)
        return {**outcome.model_dump(), "saved": saved}

    made = _run(app, act)
    if as_json:
        print_json(made)
    else:
        _paths(made["saved"], as_json)
        for warning in made["warnings"]:
            typer.echo(f"celeriac: warning: {warning}", err=True)


@report.command("list")
def list_reports(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List reports, the newest first."""

    async def act(application: JobApp, family: ReportsFamily) -> list[JobRecord]:
        found: list[JobRecord] = []
        cursor = None
        while len(found) < limit:
            page, cursor = await application.client.page(
                cursor=cursor, limit=limit - len(found), matches=lambda record: record.task == family.job.name
            )
            for record in page:
                with suppress(UnknownJob):  # it expires just now
                    found.append(await application.client.get(record.id))  # a page leaves the arguments out
            if cursor is None:
                break
        return found

    found = _run(app, act)
    rows = [_described(record) for record in found]
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("no reports")
    else:
        columns = [
            Column(name="id"),
            Column(name="state", colour=_COLOURS.get),
            Column(name="age", right=True),
            Column(name="source", shortest=12),
            Column(name="formats"),
            Column(name="error", shortest=20),
        ]
        print_table(columns, [[str(row[column.name] or "") for column in columns] for row in rows])


@report.command()
def sources(app: App = None, as_json: AsJson = False) -> None:
    """List the sources that reports may name, with their parameters."""

    async def act(_: JobApp, family: ReportsFamily) -> list[dict[str, Any]]:
        return [
            {
                "name": source.name,
                "kind": source.kind,
                "about": source.about,
                "parameters": source.parameters.model_json_schema().get("properties", {}),
            }
            for source in family.sources
        ]

    found = _run(app, act)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("no sources: name queries in CELERIAC_REPORTS_QUERIES, or use @reports.source")
    else:
        columns = [
            Column(name="name"),
            Column(name="kind"),
            Column(name="parameters"),
            Column(name="about", shortest=20),
        ]
        print_table(columns, [[s["name"], s["kind"], ", ".join(s["parameters"]), s["about"]] for s in found])


@report.command()
def fetch(report_id: ReportId, output: Folder = Path(), app: App = None, as_json: AsJson = False) -> None:
    """Save the files of a report."""
    folder_for_files(output)

    async def act(application: JobApp, family: ReportsFamily) -> list[str]:
        await _made(application, family, report_id)
        found = await application.storage.artifacts.of(report_id)
        if not found:
            raise ReportNotMade(f"the files of report {report_id} are gone; make it anew")
        return await _saved(application, found, output)

    _paths(_run(app, act), as_json)


@report.command()
def preview(report_id: ReportId, output: Folder = Path(), app: App = None, as_json: AsJson = False) -> None:
    """Save the picture of a report's first page, if it was asked for with one."""
    folder_for_files(output)

    async def act(application: JobApp, family: ReportsFamily) -> list[str]:
        from celeriac.families.reports.make import PREVIEW

        await _made(application, family, report_id)
        try:
            picture = await application.storage.artifacts.get(report_id, PREVIEW)
        except UnknownArtifact:
            raise CommandLineWrong(f"report {report_id} has no preview; ask for it with `preview`") from None
        return await _saved(application, [picture], output)

    _paths(_run(app, act), as_json)


def _run(app: str | None, action: Callable[[JobApp, ReportsFamily], Awaitable[T]]) -> T:
    return run_in_family(app, ReportsFamily, action)


async def _made(application: JobApp, family: ReportsFamily, report_id: str) -> None:
    """
    Raises:
        UnknownJob: there is no report with that id.
        ReportNotMade: it has no files.
    """
    record = await application.client.get(report_id)
    if record.task != family.job.name:
        raise UnknownJob(report_id)
    if record.state == "succeeded":
        return
    why = f" failed: {record.error.message}" if record.error else f" is {record.state}"
    if not record.state.finished:
        why += f"; `celeriac jobs result {report_id}` waits for it"
    raise ReportNotMade(f"report {report_id}{why}")


def _described(record: JobRecord) -> dict[str, Any]:
    asked: dict[str, Any] = (record.arguments or {}).get("request") or {}
    source: dict[str, Any] = asked.get("source") or {}
    shown = next(
        (key if key == "rows" else str(source[key]) for key in ("name", "upload", "sql", "rows") if key in source), ""
    )
    return {
        "id": record.id,
        "state": record.state,
        "age": age(record.created_at),
        "source": " ".join(shown.split())[:60],
        "formats": ",".join(asked.get("formats") or []),
        "error": record.error.message if record.error else "",
    }


def _paths(paths: list[str], as_json: bool) -> None:
    if as_json:
        print_json(paths)
    else:
        typer.echo("\n".join(paths))


async def _saved(application: JobApp, artifacts: Sequence[Artifact], folder: Path) -> list[str]:
    from celeriac.storage.local import save

    return [str(await save(application.storage.artifacts, artifact, folder)) for artifact in artifacts]
