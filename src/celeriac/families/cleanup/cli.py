"""`celeriac cleanup`: looks at policies, runs and steers them, and puts archived rows back, without the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer
from pydantic import BaseModel, ValidationError

from celeriac.core.errors import CommandLineWrong, WrongState
from celeriac.core.faults import sentence
from celeriac.families.cleanup import CleanupFamily, CleanupSettings
from celeriac.families.cleanup.cli_output import in_short, list_rows, of_last_run, print_policy, print_preview
from celeriac.terminal import (
    App,
    AsJson,
    print_facts,
    print_json,
    report,
    run_in_family,
    warn_of,
    watch,
)

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

cleanup = typer.Typer(name="cleanup", help="Delete, archive and anonymise old rows.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The policy's name; `celeriac cleanup list` has them.")]
RunOption = Annotated[str | None, typer.Option("--run", help="Only of this run.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")]
Follow = Annotated[bool, typer.Option("--follow", help="Wait for its end, and show how far it is.")]

_WHO = "command line"
#: States of a run that has done what it was asked for.
_WELL = ("done", "budget")


@cleanup.command("list")
def list_policies(app: App = None, as_json: AsJson = False) -> None:
    """List the policies, and how their last runs ended."""

    async def act(_: JobApp, family: CleanupFamily) -> list[dict[str, Any]]:
        from celeriac.families.cleanup.listing import all_policies

        return [one.model_dump(mode="json") for one in await all_policies(family)]

    found = _run(app, act)
    names = ("name", "connection", "table", "action", "schedule", "paused", "job")
    nothing = "no policies: put some into CELERIAC_CLEANUP_FOLDER, or use app.cleanup(…)"
    list_rows([{**one, **of_last_run(one)} for one in found], (*names, "last run", "ended"), found, as_json, nothing)


@cleanup.command()
def show(name: Name, app: App = None, as_json: AsJson = False) -> None:
    """Show a policy: its definition, its state, and its last run."""

    async def act(_: JobApp, family: CleanupFamily) -> dict[str, Any]:
        from celeriac.core.durations import AS_WRITTEN
        from celeriac.families.cleanup.api_views import PolicyWithDefinition

        policy, state = family.actions.policy(name), await family.actions.show(name)
        shown = PolicyWithDefinition.of(policy, state, definition=policy).model_dump(mode="json")
        as_written = policy.model_dump(mode="json", exclude_unset=True, context=AS_WRITTEN)
        return shown if as_json else {**shown, "definition": as_written}

    found = _run(app, act)
    if as_json:
        print_json(found)
    else:
        print_policy(found)


@cleanup.command("dry-run")
def dry_run(name: Name, app: App = None, as_json: AsJson = False) -> None:
    """Show what a run would do now: how many rows, some of them, and the SQL. Nothing is changed."""
    seen = _run(app, lambda _, family: family.actions.dry_run(name))
    if as_json:
        print_json(seen.model_dump(mode="json"))
    else:
        print_preview(seen)


@cleanup.command()
def run(
    name: Name,
    rows: Annotated[int | None, typer.Option(help="Rows after which it ends, if the policy allows more.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Seconds after which it ends.")] = None,
    follow: Follow = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Run a policy, and print the job. A worker does the work."""

    async def act(application: JobApp, family: CleanupFamily) -> dict[str, Any]:
        from celeriac.families.cleanup.forms import RunForm

        form = _form(RunForm, {"rows": rows, "seconds": seconds})
        job = await family.submissions.run(name, form, who=_WHO)
        return {"job": job.id, **(await _end_of(application, job.id) if follow else {})}

    outcome = _run(app, act)
    print_facts(outcome if as_json or not follow else in_short(outcome), as_json)
    if follow and outcome["state"] not in _WELL:
        raise WrongState(f"the run is {outcome['state']}: {outcome['reason']}")


@cleanup.command()
def pause(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Cancel the job as well, even if its worker hangs.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Let a policy commit nothing more, from now on."""

    async def act(_: JobApp, family: CleanupFamily) -> dict[str, Any]:
        return _state(family, await family.actions.pause(name, force=force))

    print_facts(_run(app, act), as_json)


@cleanup.command()
def resume(name: Name, app: App = None, as_json: AsJson = False) -> None:
    """Allow runs of a policy again, and go on with the one that was paused."""

    async def act(_: JobApp, family: CleanupFamily) -> dict[str, Any]:
        from celeriac.families.cleanup.forms import ResumeForm

        begun = await family.submissions.resume(name, ResumeForm(), who=_WHO)
        return {**_state(family, await family.actions.show(name)), "begun": begun and begun.id}

    print_facts(_run(app, act), as_json)


@cleanup.command()
def runs(name: Name, limit: Limit = 20, app: App = None, as_json: AsJson = False) -> None:
    """List the runs of a policy, the newest first."""

    async def act(_: JobApp, family: CleanupFamily) -> list[dict[str, Any]]:
        from celeriac.families.cleanup.api_views import RunView

        found, _next = await family.history.runs(name, limit=limit)
        return [RunView.of(one).model_dump(mode="json") for one in found]

    found = _run(app, act)
    shown = [{**one, "rows": sum(one["rows"].values())} for one in found]
    list_rows(
        shown, ("id", "kind", "state", "rows", "seconds", "who", "started_at", "error"), found, as_json, "no runs"
    )


@cleanup.command()
def audit(name: Name, run_id: RunOption = None, limit: Limit = 50, app: App = None, as_json: AsJson = False) -> None:
    """List what was changed, a chunk at a time, and where its rows are archived."""

    async def act(_: JobApp, family: CleanupFamily) -> list[dict[str, Any]]:
        from celeriac.families.cleanup.api_views import AuditView

        found, _next = await family.history.audit(name, run_id, limit=limit)
        return [AuditView.of(one).model_dump(mode="json") for one in found]

    found = _run(app, act)
    names = ("run", "number", "table", "action", "rows", "first_key", "last_key", "at", "file")
    list_rows(found, names, found, as_json, "nothing was changed")


@cleanup.command()
def archives(name: Name, run_id: RunOption = None, app: App = None, as_json: AsJson = False) -> None:
    """List the files that a policy has archived rows in."""
    found = [one.model_dump(mode="json") for one in _run(app, lambda _, family: family.history.files(name, run_id))]
    list_rows(found, ("run", "table", "rows", "bytes", "here", "file"), found, as_json, "no archives")


@cleanup.command()
def restore(
    name: Name,
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="The run whose archives are restored.")] = None,
    table: Annotated[str | None, typer.Option(help="Only this table of the run. Default: all.")] = None,
    into: Annotated[str | None, typer.Option(help="Another table for its rows, which the settings allow.")] = None,
    on_conflict: Annotated[str, typer.Option(help="Where the key is in the table: skip, or fail.")] = "skip",
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Put archived rows back, and wait for it. Pause the policy first: its next run archives them again."""
    given = {"policy": name, "run": run_id, "table": table, "into": into, "on_conflict": on_conflict}

    async def act(application: JobApp, family: CleanupFamily) -> dict[str, Any]:
        from celeriac.families.cleanup.forms import RestoreForm

        job = await family.submissions.put_back(_form(RestoreForm, given), who=_WHO)
        return {"job": job.id, **await _end_of(application, job.id)}

    outcome = _run(app, act)
    if as_json:
        print_json(outcome)
    else:
        rows = [{"table": table, **counts} for table, counts in outcome["tables"].items()]
        list_rows(rows, ("table", "rows", "restored", "skipped"), rows, False, "")


@cleanup.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Files with policies.", exists=True, dir_okay=False)],
    connect: Annotated[
        bool, typer.Option("--connect", help="Have their databases look at tables, SQL and rights.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check policies, without connecting to anything unless asked to. The exit code is 1 if one cannot be used."""
    from celeriac.families.cleanup.checks import check_file, check_files_there

    own = cast(CleanupSettings, CleanupFamily.read_settings())
    found = asyncio.run(check_files_there(files, own)) if connect else [check_file(path, own) for path in files]
    report(found, as_json)


def _run(app: str | None, action: Callable[[JobApp, CleanupFamily], Awaitable[T]]) -> T:
    async def act(application: JobApp, family: CleanupFamily) -> T:
        warn_of(family.policies.unusable)
        with family.places.databases.naming():
            return await action(application, family)

    return run_in_family(app, CleanupFamily, act)


async def _end_of(application: JobApp, job_id: str) -> dict[str, Any]:
    await watch(application, job_id, unit="rows")
    return dict(await application.client.result(job_id))


def _state(family: CleanupFamily, state: Any) -> dict[str, Any]:
    from celeriac.families.cleanup.api_views import PolicyView

    shown = PolicyView.of(family.actions.policy(state.name), state).model_dump(mode="json")
    return {name: shown[name] for name in ("name", "paused", "job")}


def _form(kind: type[M], values: dict[str, Any]) -> M:
    """Check what was given, as the API does.

    Raises:
        CommandLineWrong: names what to change.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise CommandLineWrong(sentence(error.errors(), "options")) from None
