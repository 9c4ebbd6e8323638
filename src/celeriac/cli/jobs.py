"""`celeriac jobs`: lists, shows, enqueues, cancels and retries jobs. Prints text for people, or JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from celeriac.core import codec
from celeriac.core.errors import InvalidArguments, UnknownTask
from celeriac.core.printable import one_line, without_controls
from celeriac.terminal import App, AsJson, Column, age, is_terminal, print_json, print_table, run

if TYPE_CHECKING:
    from celeriac.core.records import JobRecord
    from celeriac.engine.app import JobApp

jobs = typer.Typer(name="jobs", help="List, show, enqueue, cancel and retry jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id.")]

_COLOURS = {"succeeded": "green", "failed": "red", "dead": "red", "cancelled": "yellow", "running": "cyan"}


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    task: Annotated[str | None, typer.Option(help="Only jobs of this task.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only jobs of this queue.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    from celeriac.core.states import JobState

    if state is not None and state not in set(JobState):
        raise typer.BadParameter(f"{state!r} is not one of {', '.join(JobState)}", param_hint="--state")

    def matches(record: JobRecord) -> bool:
        wanted = ((state, record.state), (task, record.task), (queue, record.queue))
        return all(value is None or value == found for value, found in wanted)

    async def newest(application: JobApp) -> list[JobRecord]:
        found: list[JobRecord] = []
        cursor = None
        while len(found) < limit:
            page, cursor = await application.client.page(cursor=cursor, limit=min(limit, 200), matches=matches)
            found += page
            if cursor is None:
                break
        return found[:limit]

    records = run(app, newest)
    if as_json:
        print_json([_as_dict(record) for record in records])
    elif not records:
        typer.echo("no jobs")
    else:
        _print_table(records)


@jobs.command()
def show(job_id: JobId, app: App = None, as_json: AsJson = False) -> None:
    """Show one job, with its arguments and traceback."""
    record = run(app, lambda application: application.client.get(job_id))
    if as_json:
        print_json(_as_dict(record))
        return
    for line in described(_as_dict(record)):
        typer.echo(line)


@jobs.command()
def result(
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait. Default: no limit.")] = None,
    app: App = None,
) -> None:
    """Wait for a job's result and print it as JSON."""
    print_json(run(app, lambda application: application.client.result(job_id, timeout)))


@jobs.command()
def enqueue(
    task: Annotated[str, typer.Argument(help="The task's name.")],
    arguments: Annotated[str, typer.Argument(help="A JSON object.")] = "{}",
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Enqueue a job and print its id."""

    async def send(application: JobApp) -> str:
        from celeriac.core.spec import Call

        spec = application.specs.get(task)
        if spec is None:
            raise UnknownTask(task)
        return await application.client.enqueue(Call[Any](spec, spec.encode((), _parse_object(task, arguments))))

    job_id = run(app, send)
    if as_json:
        print_json({"id": job_id})
    else:
        typer.echo(job_id)


@jobs.command()
def cancel(job_id: JobId, app: App = None, as_json: AsJson = False) -> None:
    """Cancel a job. If a worker runs it, ask that worker to stop it."""
    record = run(app, lambda application: application.client.cancel(job_id))
    _say("cancelled" if record.state.finished else "its worker was asked to stop it", record, as_json)


@jobs.command()
def retry(job_id: JobId, app: App = None, as_json: AsJson = False) -> None:
    """Run a failed, dead or cancelled job again."""
    _say("queued", run(app, lambda application: application.client.retry(job_id)), as_json)


def _say(done: str, record: JobRecord, as_json: bool) -> None:
    if as_json:
        print_json(_as_dict(record))
    else:
        typer.echo(done)


def _parse_object(task: str, text: str) -> dict[str, Any]:
    try:
        value = codec.loads(text)
    except ValueError as error:
        raise InvalidArguments(task, [{"loc": (), "msg": f"not JSON: {error}", "type": "json"}]) from None
    if not isinstance(value, dict):
        raise InvalidArguments(task, [{"loc": (), "msg": "give a JSON object", "type": "json"}])
    return value  # pyright: ignore[reportUnknownVariableType]


def _as_dict(record: JobRecord) -> dict[str, Any]:
    return {**orjson.loads(orjson.dumps(replace(record, arguments=None))), "arguments": record.arguments}


def described(record: dict[str, Any]) -> Iterator[str]:
    """Yield the facts of a job, one a line, and then its traceback as Python prints it."""
    error: dict[str, Any] = record.pop("error") or {}
    if error:
        record["error"] = f"{error['type']}: {error['message']}"
    for name, value in record.items():
        if value is not None:
            yield f"{name:<17}{one_line(value if isinstance(value, str) else codec.dumps_text(value))}"
    if error.get("traceback"):
        yield ""
        yield without_controls(error["traceback"].rstrip())


def _print_table(records: list[JobRecord]) -> None:
    at_terminal = is_terminal()
    columns = [
        Column(name="id"),
        Column(name="task", shortest=12, keeps_end=True),
        Column(name="state", colour=_COLOURS.get),
        Column(name="queue", dispensable=1),
        Column(name="try" if at_terminal else "attempt", right=at_terminal),
        Column(name="done" if at_terminal else "progress", right=at_terminal),
        Column(name="age" if at_terminal else "created", right=at_terminal),
    ]
    print_table(columns, [_row(record, at_terminal) for record in records])


def _row(record: JobRecord, at_terminal: bool) -> list[str]:
    done = record.progress
    progress = f"{done.done:g}/{done.total:g}" if done and done.total else ""
    if done and done.total and at_terminal:
        progress = f"{done.done / done.total:.0%}"
    created = age(record.created_at) if at_terminal else record.created_at.isoformat()
    return [record.id, record.task, str(record.state), record.queue, str(record.attempt), progress, created]
