"""`celeriac media`: converts files of this machine, and looks at them, without the API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from celeriac.core.errors import CommandLineWrong
from celeriac.families.media import MediaFamily
from celeriac.terminal import App, AsJson, Column, folder_for_files, print_json, print_table, run_in_family

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.families.media.presets import PresetChoice

T = TypeVar("T")

media = typer.Typer(name="media", help="Convert videos, sounds, images and documents.", no_args_is_help=True)

InputFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file.")]


@media.command()
def convert(
    file: InputFile,
    preset: Annotated[
        list[str], typer.Option(help="A preset's name, or `name:{JSON}` with values in place of its own. Repeatable.")
    ],
    key: Annotated[str | None, typer.Option(help="Idempotency key: with it, the job is not repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and print the outcome.")] = False,
    output: Annotated[Path | None, typer.Option(help="With --wait: directory to copy the outputs to.")] = None,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Copy a file to the storage, convert it, and print the job's id."""
    if output is not None and not wait:
        raise CommandLineWrong("--output needs --wait: there is nothing to copy before")
    if output is not None:
        folder_for_files(output)
    choices = [_choice(text) for text in preset]

    async def act(application: JobApp, family: MediaFamily) -> dict[str, Any]:
        from celeriac.families.media.presets import choose
        from celeriac.families.media.sources import SourceChoice
        from celeriac.families.media.submission import ConversionRequest, submit
        from celeriac.storage.local import save, send

        choose(choices, family.settings.media_presets)  # before the file is copied
        upload = await send(application.storage.uploads, file)
        request = ConversionRequest(source=SourceChoice(upload=upload.id), presets=choices)
        idempotency_key = f"cli:{key}" if key else None
        job = await submit(family.host, family.settings, family.jobs, request, owner="", key=idempotency_key)
        if not wait:
            return {"id": job.id}
        typer.echo(job.id, err=True)
        outcome: dict[str, Any] = {"id": job.id, **await application.client.result(job.id)}
        if output is not None:
            artifacts = application.storage.artifacts
            outcome["copied"] = [str(await save(artifacts, made, output)) for made in await artifacts.of(job.id)]
        return outcome

    outcome = _run(app, act)
    if as_json:
        print_json(outcome)
    elif not wait:
        typer.echo(outcome["id"])
    else:
        columns = [Column(name=name) for name in ("preset", "state", "files", "detail")]
        rows = [[one["preset"], one["state"], " ".join(one["files"]), one["detail"]] for one in outcome["outputs"]]
        print_table(columns, rows)


@media.command()
def probe(file: InputFile, app: App = None, as_json: AsJson = False) -> None:
    """Say what a file has: streams, sizes, duration. Nothing is made of it, and no broker is needed."""

    async def act(_: JobApp, family: MediaFamily) -> Any:
        from celeriac.families.media import probing, sources
        from celeriac.families.media.workspace import workspace

        with workspace(family.settings.media_work_dir, "look") as work:
            return await probing.probe(sources.local(file), family.settings, work, measure=True)

    facts = _run(app, act)
    if as_json:
        print_json(facts.model_dump())
    else:
        rows = [[name, str(value)] for name, value in facts.for_people().items()]
        print_table([Column(name="what"), Column(name="value")], rows)


@media.command()
def presets(app: App = None, as_json: AsJson = False) -> None:
    """List the presets, and their values."""

    async def act(_: JobApp, family: MediaFamily) -> list[dict[str, Any]]:
        from celeriac.families.media.api import presets_of

        return [one.model_dump() for one in presets_of(family.settings)]

    found = _run(app, act)
    if as_json:
        print_json(found)
        return
    columns = [Column(name="name"), Column(name="takes"), Column(name="values", shortest=20)]
    print_table(columns, [[one["name"], " ".join(one["takes"]), _values(one["preset"])] for one in found])


def _run(app: str | None, action: Callable[[JobApp, MediaFamily], Awaitable[T]]) -> T:
    return run_in_family(app, MediaFamily, action)


def _choice(text: str) -> str | PresetChoice:
    from pydantic import ValidationError

    from celeriac.families.media.presets import PresetChoice

    name, colon, values = text.partition(":")
    if not colon:
        return name
    try:
        return PresetChoice(**{**json.loads(values), "name": name})
    except (ValueError, TypeError, ValidationError):
        raise CommandLineWrong(f'--preset {text}: expected a name, or name:{{"width": 800}}') from None


def _values(preset: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in preset.items() if value is not None)
