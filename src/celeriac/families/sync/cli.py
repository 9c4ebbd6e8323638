"""`celeriac sync`: runs syncs, and looks at them, without the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from celeriac.core.errors import WrongState
from celeriac.families.sync import SyncFamily, SyncSettings
from celeriac.terminal import (
    App,
    AsJson,
    Column,
    print_facts,
    print_json,
    print_rows,
    print_table,
    report,
    run_in_family,
    warn_of,
    watch,
)

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp

T = TypeVar("T")

sync = typer.Typer(name="sync", help="Run syncs, and look at what they have read.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The sync's name; `celeriac sync list` has them.")]
Streams = Annotated[list[str] | None, typer.Option("--stream", help="Only this stream; repeatable.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")]

_COLOURS = {"done": "green", "failed": "red", "waiting": "yellow", "cancelled": "yellow"}
_COUNTS = ("in", "written", "rejected", "deleted", "pages", "repeated_pages", "requests")


@sync.command("list")
def list_syncs(app: App = None, as_json: AsJson = False) -> None:
    """List the syncs of the application."""

    async def act(family: SyncFamily) -> list[dict[str, Any]]:
        from celeriac.families.sync.views import SyncView

        return [
            SyncView.of(one, family.looks.schedules(one.sync.name)).model_dump(mode="json")
            for one in family.looks.all()
        ]

    found = _run(app, act)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("no syncs: put definitions into CELERIAC_SYNC_FOLDER, or use app.sync(…)")
    else:
        columns = [
            Column(name="name"),
            Column(name="source", shortest=20),
            Column(name="destination"),
            Column(name="streams", shortest=12),
            Column(name="schedules", dispensable=1),
        ]
        print_table(columns, [_in_short(one) for one in found])


@sync.command()
def show(name: Name, app: App = None, as_json: AsJson = False) -> None:
    """Show a sync: its streams, its last run, and the job that runs it now."""

    async def act(family: SyncFamily) -> dict[str, Any]:
        from celeriac.families.sync.views import RunView, SyncWithRuns

        found = await family.looks.overview(name)
        last = RunView.of(found.last_run) if found.last_run is not None else None
        shown = SyncWithRuns.of(found.definition, found.schedules, last_run=last, running=found.running)
        return shown.model_dump(mode="json", by_alias=True)

    found = _run(app, act)
    if as_json:
        print_json(found)
        return
    _, source, destination, _, schedules = _in_short(found)
    facts = {"name": name, "defined in": found["defined_in"], "source": source, "destination": destination}
    last = found["last_run"]
    state = f"{last['state']}, {last['started_at']}, {last['id']}" if last else None
    print_facts({**facts, "schedules": schedules, "running": found["running"], "last run": state}, False)
    names = ("name", "table", "mode", "primary_key", "cursor", "parent")
    typer.echo()
    print_rows(found["streams"], names)
    if last is not None and last["streams"]:
        typer.echo()
        _counts(last["streams"])


@sync.command()
def run(
    name: Name,
    stream: Streams = None,
    full: Annotated[bool, typer.Option("--full", help="Read all records, whatever the cursor.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for its end, and show how far it is.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Run a sync, and print the job. A worker does the work."""

    async def act(family: SyncFamily) -> dict[str, Any]:
        from celeriac.families.sync.forms import RunForm

        job = await family.actions.run(name, RunForm(streams=stream or None, full=full))
        if not follow:
            return {"job": job.id}
        await watch(family.host.app, job.id, unit="records")
        return {"job": job.id, **await family.host.app.client.result(job.id)}

    outcome = _run(app, act)
    if as_json or not follow:
        print_facts(outcome, as_json)
    elif outcome["state"] == "skipped":
        raise WrongState(f"the run was skipped: {outcome['reason']}")
    else:
        _counts(outcome["streams"])


@sync.command("dry-run")
def dry_run(name: Name, stream: Streams = None, app: App = None, as_json: AsJson = False) -> None:
    """Read the first page of each stream, and show what would become of it. Nothing is written."""

    async def act(family: SyncFamily) -> dict[str, Any]:
        from celeriac.families.sync.forms import StreamsForm

        seen = await family.actions.look(name, StreamsForm(streams=stream or None))
        return seen.model_dump(mode="json", by_alias=True)

    outcome = _run(app, act)
    if as_json:
        print_json(outcome)
        return
    for number, (stream_name, seen) in enumerate(outcome["streams"].items()):
        if number:
            typer.echo()
        more = ", and there are more pages" if seen["more"] else ""
        typer.echo(f"{stream_name}: {seen['received']} records on the first page{more}")
        if seen["note"]:
            typer.echo(f"warning: {seen['note']}")
        print_rows(seen["columns"], ("name", "kind", "key", "change", "field"))
        if seen["rejected_count"]:
            typer.echo(f"{seen['rejected_count']} of {seen['received']} records would be rejected")
        for one in seen["rejected"]:
            typer.echo(f"rejected, at {one['position']}: {one['reason']}")


@sync.command()
def runs(name: Name, limit: Limit = 20, app: App = None, as_json: AsJson = False) -> None:
    """List the runs of a sync, the newest first."""

    async def act(family: SyncFamily) -> list[dict[str, Any]]:
        from celeriac.families.sync.views import RunView

        found, _ = await family.looks.runs(name, limit=limit)
        return [RunView.of(one).model_dump(mode="json", by_alias=True) for one in found]

    found = _run(app, act)
    rows = [
        {**one, **{count: sum(each[count] for each in one["streams"].values()) for count in ("in", "rejected")}}
        for one in found
    ]
    names = ("id", "state", "started_at", "ended_at", "in", "rejected", "error")
    given = found if as_json else None
    print_rows(rows, names, as_json=given, nothing="no runs", shrinking=["error"], colours=_COLOURS)


@sync.command()
def state(name: Name, app: App = None, as_json: AsJson = False) -> None:
    """Show how far each stream of a sync is."""

    async def act(family: SyncFamily) -> list[dict[str, Any]]:
        from celeriac.families.sync.views import StreamStateView

        found = await family.looks.state(name)
        return [StreamStateView.of(one, each).model_dump(mode="json", by_alias=True) for one, each in found.items()]

    found = _run(app, act)
    names = ("stream", "phase", "full", "page", "cursor", "pending")
    print_rows(found, names, as_json=found if as_json else None, nothing="nothing has been read yet")


@sync.command()
def rejects(
    name: Name,
    run_id: Annotated[str | None, typer.Option("--run", help="Those of this run.")] = None,
    stream: Annotated[str | None, typer.Option(help="Those of this stream.")] = None,
    limit: Limit = 50,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List records that were not written, with the reasons."""

    async def act(family: SyncFamily) -> list[dict[str, Any]]:
        from celeriac.families.sync.views import RejectView

        found, _ = await family.looks.rejects(name, stream=stream, run=run_id, limit=limit)
        return [RejectView.of(one).model_dump(mode="json") for one in found]

    found = _run(app, act)
    names = ("stream", "page", "position", "reason", "record")
    given = found if as_json else None
    print_rows(found, names, as_json=given, nothing="no rejected records", shrinking=["record"])


@sync.command()
def reset(name: Name, stream: Streams = None, app: App = None, as_json: AsJson = False) -> None:
    """Have streams read from the beginning by the next run. Rows stay: that run replaces them."""

    async def act(family: SyncFamily) -> dict[str, Any]:
        from celeriac.families.sync.forms import StreamsForm

        return {"streams": await family.actions.reset(name, StreamsForm(streams=stream or None))}

    print_facts(_run(app, act), as_json)


@sync.command()
def host(
    name: Name,
    reopen: Annotated[bool, typer.Option("--reopen", help="Ask it again at once, for all syncs of the host.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Show for how long the API has asked to be left alone (Retry-After). A run that waits goes on in five minutes."""

    async def act(family: SyncFamily) -> dict[str, Any]:
        found = await (family.hosts.reopen(name) if reopen else family.hosts.show(name))
        return found.model_dump(mode="json")

    found = _run(app, act)
    left_alone = f"{found['closed_seconds']:,.0f} s" if found["closed_seconds"] else "no time: it may be asked"
    what = "would be left alone for" if reopen else "to be left alone for"
    print_facts(found if as_json else {"host": found["host"], what: left_alone}, as_json)


@sync.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Files with definitions.", exists=True, dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Check definitions without connecting to anything. The exit code is 1 if one cannot be used."""
    from celeriac.families.sync.checks import check_file

    own = cast(SyncSettings, SyncFamily.read_settings())
    report([check_file(path, own) for path in files], as_json)


def _run(app: str | None, action: Callable[[SyncFamily], Awaitable[T]]) -> T:
    async def act(_: JobApp, family: SyncFamily) -> T:
        warn_of(family.definitions.unusable)
        try:
            with family.connections.naming():
                return await action(family)
        finally:
            await family.connections.dispose()

    return run_in_family(app, SyncFamily, act)


def _in_short(found: Mapping[str, Any]) -> list[str]:
    """Return a sync's name, source, destination, streams and schedules."""
    source, destination = found["source"], found["destination"]
    streams = ", ".join(stream["name"] for stream in found["streams"])
    place = destination.get("connection") or f"{destination.get('files')} files"
    return [found["name"], source.get("url") or source.get("python", ""), place, streams, ", ".join(found["schedules"])]


def _counts(streams: Mapping[str, Mapping[str, Any]]) -> None:
    print_rows([{"stream": name, **counts} for name, counts in streams.items()], ("stream", *_COUNTS))
