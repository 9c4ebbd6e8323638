"""`celeriac dead`: lists, replays and drops the dead letters of Celeriac and plain Celery applications."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.terminal import App, AsJson, Column, age, is_terminal, print_json, print_table, printable

if TYPE_CHECKING:
    from celeriac.store.messages.dead_letters import DeadLetter
    from celeriac.store.redis.connection import Client

dead = typer.Typer(name="dead", help="List, replay and drop dead letters.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters, or of their jobs.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Task = Annotated[str | None, typer.Option(help="Only those of this task.")]
Queue = Annotated[str | None, typer.Option(help="Only those of this queue.")]

#: Time to read all dead letters.
_READING_S = 60.0
#: Characters of a name or cause that are shown.
_SHOWN = 1000

Matches = Callable[["DeadLetter"], bool]
Action = Callable[["Client", "DeadLetter"], Awaitable[bool]]


@dead.command("list")
def list_dead(
    task: Task = None,
    queue: Queue = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 100,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first: messages that could not be run, were rejected, or lost five workers."""
    found = asyncio.run(_find(app, _matching(task, queue), limit))
    if as_json:
        print_json([_as_dict(letter) for letter in found])
    elif not found:
        typer.echo("no dead letters")
    else:
        _print_table(found)


@dead.command()
def replay(
    ids: Ids = None,
    everything: All = False,
    task: Task = None,
    queue: Queue = None,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back into their queues. Workers run them as if they had never been delivered."""
    from celeriac.store.messages import dead_letters

    _act("replayed", dead_letters.replay, _chosen(ids, everything, task, queue), ids, app, as_json)


@dead.command()
def drop(
    ids: Ids = None,
    everything: All = False,
    task: Task = None,
    queue: Queue = None,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters."""
    from celeriac.store.messages import dead_letters

    _act("dropped", dead_letters.drop, _chosen(ids, everything, task, queue), ids, app, as_json)


def _matching(task: str | None, queue: str | None) -> Matches:
    return lambda letter: (task is None or letter.task == task) and (queue is None or letter.queue == queue)


def _chosen(ids: list[str] | None, everything: bool, task: str | None, queue: str | None) -> Matches:
    if bool(ids) == (everything or task is not None or queue is not None):
        raise typer.BadParameter("give ids, or else --all, --task or --queue", param_hint="IDS")
    if ids:
        return lambda letter: letter.id in ids or letter.job_id in ids
    return _matching(task, queue)


def _act(done: str, action: Action, matches: Matches, ids: list[str] | None, app: str | None, as_json: bool) -> None:
    """Do `action` with each match, and print its outcome. Exit with 1 unless all succeeded."""
    outcomes = asyncio.run(_act_on_each(app, matches, action, ids or []))
    if as_json:
        print_json([{**_as_dict(letter), "problem": problem} for letter, problem in outcomes])
    else:
        for letter, problem in outcomes:
            names = " ".join(printable(name) for name in (letter.id, letter.task, letter.job_id) if name)
            typer.echo(f"{names}: {problem or done}")
        if not outcomes:
            typer.echo("no dead letters")
    if any(problem for _, problem in outcomes):
        raise typer.Exit(1)


async def _find(app: str | None, matches: Matches, limit: int) -> list[DeadLetter]:
    from celeriac.store.redis.connection import connect, naming

    url, timeout = _broker(app)
    client = connect(url, timeout=timeout)
    try:
        with naming(url):
            return await _read(client, matches, limit)
    finally:
        await client.aclose()


async def _act_on_each(
    app: str | None, matches: Matches, action: Action, ids: list[str]
) -> list[tuple[DeadLetter, str | None]]:
    from celeriac.core.errors import WrongState
    from celeriac.store.redis.connection import connect, deadline, naming

    url, timeout = _broker(app)
    client = connect(url, timeout=timeout)
    outcomes: list[tuple[DeadLetter, str | None]] = []
    try:
        with naming(url):
            letters = await _read(client, matches, None)
        for wanted in ids:
            if not any(wanted in (letter.id, letter.job_id) for letter in letters):
                raise typer.BadParameter(f"no dead letter has the id {wanted!r}, and none is of such a job")
        for letter in letters:
            try:
                async with deadline(timeout):
                    outcomes.append((letter, None if await action(client, letter) else "another process has taken it"))
            except WrongState as error:
                outcomes.append((letter, str(error)))
    finally:
        await client.aclose()
    return outcomes


async def _read(client: Client, matches: Matches, limit: int | None) -> list[DeadLetter]:
    from celeriac.store.messages.dead_letters import dead_letters
    from celeriac.store.redis.connection import deadline

    found: list[DeadLetter] = []
    async with deadline(_READING_S):
        async for letter in dead_letters(client):
            if matches(letter):
                found.append(letter)
            if len(found) == limit:
                break
    return found


def _broker(app: str | None) -> tuple[str, float]:
    """Return the broker's URL, and the timeout in seconds of an operation on it."""
    from celeriac.application import load_broker
    from celeriac.settings import load_settings

    settings = load_settings(app=app)
    return load_broker(settings).url, settings.broker_timeout


def _as_dict(letter: DeadLetter) -> dict[str, Any]:
    shown = ("id", "job_id", "task", "queue", "cause", "losses")
    return {name: getattr(letter, name) for name in shown} | {"at": letter.at.isoformat(), "message": letter.shown}


def _print_table(letters: list[DeadLetter]) -> None:
    at_terminal = is_terminal()
    columns = [
        Column(name="id"),
        Column(name="age" if at_terminal else "at", right=at_terminal),
        Column(name="task", shortest=12, keeps_end=True),
        Column(name="job", dispensable=1),
        Column(name="queue", shortest=8),
        Column(name="cause", shortest=20),
    ]
    rows: list[list[str]] = []
    for letter in letters:
        at = age(letter.at) if at_terminal else letter.at.isoformat()
        task = letter.task or letter.shown  # a message that cannot be read shows its beginning
        row = (letter.id, at, task, letter.job_id, letter.queue, letter.cause)
        rows.append([cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}..." for cell in row])
    print_table(columns, rows)
