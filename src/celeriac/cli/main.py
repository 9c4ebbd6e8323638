"""The command `celeriac`. Each subcommand reads the settings, and passes them to the launch layer.

Subcommands import their modules when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

try:
    from typer.exceptions import TyperException
except ImportError:  # before 0.28, when typer was written with click
    from click.exceptions import ClickException as TyperException

from celeriac.cli.database import db
from celeriac.cli.dead import dead
from celeriac.cli.families import WithFamilies, families
from celeriac.cli.jobs import jobs
from celeriac.cli.queues import queues
from celeriac.core.errors import CeleriacError
from celeriac.core.exits import ExitCode, exit_code
from celeriac.core.extras import require
from celeriac.terminal import App, AsJson, report

EXIT_CODES = (
    "Exit codes: 0 success; 1 failure; 2 the command line is wrong; 3 a setting is wrong; "
    "4 the data directory or a port is in use; 5 the broker, or a database, cannot be reached, or refuses; "
    "6 the application cannot be loaded; 7 an extra is not installed; 8 what the command is for does not allow it now."
)

cli = typer.Typer(
    name="celeriac",
    cls=WithFamilies,
    help="Background jobs for FastAPI. Environment variables such as CELERIAC_BROKER_URL are the settings.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(jobs)
cli.add_typer(dead)
cli.add_typer(db)
cli.command()(queues)
cli.command()(families)

Host = Annotated[str | None, typer.Option(help="Address to listen on. Any but loopback needs CELERIAC_API_KEYS.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 picks a free one.")]
FlowerPort = Annotated[int | None, typer.Option(min=0, max=65535, help="Port of Flower; 0 picks a free one.")]
DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded broker and the SQLite database.")]
Api = Annotated[str | None, typer.Option("--api", metavar="MODULE:ATTRIBUTE", help="Your own ASGI application.")]
Shards = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Processes of the worker. Default: CELERIAC_WORKER_SHARDS.")
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Jobs that each process of the worker runs at a time.")]

#: For commands that pass unknown options on.
PASSES_ON: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def main() -> None:
    """Run the command line and exit. A user's mistake gives one line and an exit code, never a traceback."""
    try:
        sys.exit(cli(standalone_mode=False))
    except TyperException as error:
        if not error.format_message():  # no command was given, and click has printed the help
            sys.exit(ExitCode.USAGE)
        message = " ".join(error.format_message().split()).replace(": Value error, ", ": ")  # typer's own words
        sys.stderr.write(f"celeriac: error: {message}\n")
        sys.exit(ExitCode.USAGE)
    except CeleriacError as error:
        from celeriac.settings import show

        show(error)
        sys.exit(exit_code(error))


def _show_version(asked: bool) -> None:
    if asked:
        from celeriac import __version__

        typer.echo(f"celeriac {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", help="Show the traceback of an application that cannot be imported."),
    ] = False,
) -> None:
    if traceback:
        from celeriac.settings import export

        export(traceback=True)
    if context.invoked_subcommand != "doctor":  # it has findings for these
        from celeriac.discovery import warn_of_what_is_set

        warn_of_what_is_set()


@cli.command()
def up(
    host: Host = None,
    port: Port = None,
    flower_port: FlowerPort = None,
    data_dir: DataDir = None,
    app: App = None,
    api: Api = None,
    shards: Shards = None,
    concurrency: Concurrency = None,
    flower: Annotated[bool, typer.Option("--flower/--no-flower", help="Run Flower.")] = True,
    beat: Annotated[bool, typer.Option("--beat/--no-beat", help="Run beat.")] = True,
) -> None:
    """Run everything: broker (unless CELERIAC_BROKER_URL is set), API, worker, beat and Flower.

    Processes that die are restarted. Ctrl-C stops all. A second Ctrl-C kills them.
    """
    since = time.monotonic() - time.process_time()  # this process only worked before this line
    require("up")
    from celeriac.launch.stack.children import StackOptions
    from celeriac.launch.stack.stack import run_stack
    from celeriac.settings import load_settings

    settings = load_settings(
        app=app,
        host=host,
        port=port,
        flower_port=flower_port,
        data_dir=data_dir,
        worker_shards=shards,
        worker_concurrency=concurrency,
    )
    options = StackOptions(api=api, beat=beat, flower=flower)
    asyncio.run(run_stack(settings, options, sys.stdout, since=since))


@cli.command(context_settings=PASSES_ON)
def api(
    context: typer.Context,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    app: App = None,
    api: Api = None,
) -> None:
    """Run only the API. Other options go to uvicorn."""
    require("api")
    from celeriac.core.files import keep_private
    from celeriac.launch.programs import commands
    from celeriac.launch.resources import ports
    from celeriac.settings import as_environment, load_settings

    settings = load_settings(app=app, host=host, port=port, data_dir=data_dir)
    settings.check_exposure()
    keep_private(settings.data_dir)
    ports.claim(settings.host, settings.port, "--port")
    _become(commands.api_command(settings, api, context.args), as_environment(settings))


@cli.command(context_settings=PASSES_ON)
def worker(
    context: typer.Context,
    app: App = None,
    data_dir: DataDir = None,
    shards: Shards = None,
    concurrency: Concurrency = None,
) -> None:
    """Run a worker: one process for each core, and a parent that restarts them and renews their leases.

    The first Ctrl-C or SIGTERM lets running jobs end, the second puts them back into their queues, and the third kills
    the worker. Other options go to `celery worker`.
    """
    from celeriac.launch.worker.command_line import WorkerLine, run

    run(WorkerLine(app=app, data_dir=data_dir, shards=shards, concurrency=concurrency, extra=context.args))


@cli.command(context_settings=PASSES_ON)
def beat(context: typer.Context, app: App = None, data_dir: DataDir = None) -> None:
    """Run only beat. Other options go to `celery beat`."""
    from celeriac.core.files import PRIVATE, private_directory
    from celeriac.launch.programs import commands
    from celeriac.settings import as_environment, load_settings

    settings = load_settings(app=app, data_dir=data_dir)
    private_directory(settings.data_dir)
    os.umask(PRIVATE)
    _become(commands.beat_command(settings, context.args), as_environment(settings))


@cli.command(context_settings=PASSES_ON)
def flower(
    context: typer.Context, host: Host = None, flower_port: FlowerPort = None, data_dir: DataDir = None, app: App = None
) -> None:
    """Run only Flower. Other options go to `celery flower`."""
    require("flower")
    from celeriac.launch.programs import commands
    from celeriac.launch.programs.flower import flower_options
    from celeriac.launch.resources import ports
    from celeriac.settings import as_environment, load_settings

    settings = load_settings(app=app, host=host, flower_port=flower_port, data_dir=data_dir)
    options = flower_options(settings)
    ports.claim(settings.host, settings.flower_port, "--flower-port")
    command = commands.flower_command(settings, options, context.args)
    _become(command, {**as_environment(settings), **options.environment()})


@cli.command()
def doctor(
    data_dir: DataDir = None,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, broker, database, job families, API and worker, and advise how to repair them."""
    from celeriac.launch.doctor.doctor import examine
    from celeriac.settings import export

    if data_dir is not None:  # your own application reads it when it is imported
        export(data_dir=data_dir.absolute())
    findings = asyncio.run(examine(data_dir, app))
    report(findings, as_json)


def _become(command: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    """Replace this process by `command`, which then gets the signals and sets the exit code."""
    from celeriac.settings import environment_with

    sys.stdout.flush()
    os.execve(command[0], tuple(command), environment_with(variables))  # noqa: S606
