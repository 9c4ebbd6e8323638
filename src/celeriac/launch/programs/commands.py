"""The command lines of the stack's processes. They contain no secrets, because every user of the machine sees them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celeriac.launch.programs.flower import FlowerOptions
from celeriac.settings import Settings

#: The program that serves the application of the settings.
DEFAULT_API = "celeriac.asgi:create_api"

_PROTOCOL = "celeriac.server:TimedProtocol"

Command = tuple[str, ...]

_CELERY = (sys.executable, "-m", "celeriac.engine.start.command")

_GRACE_FOR_REQUESTS_S = 3  # without a limit, an open event stream would prevent the shutdown


def api_command(settings: Settings, api: str | None = None, extra: Sequence[str] = ()) -> Command:
    """Make the command of uvicorn with the API, or with the ASGI application that `api` names (`module:attribute`)."""
    target = ("--factory", DEFAULT_API) if api is None else (api,)
    address = ("--host", settings.host.strip("[]"), "--port", str(settings.port))
    limits = ("--http", _PROTOCOL, "--timeout-graceful-shutdown", str(_GRACE_FOR_REQUESTS_S))
    return (sys.executable, "-m", "celeriac.launch.programs.serve", *target, *address, *limits, *extra)


def shard_command(arguments: Sequence[str], *, report_to: int) -> Command:
    """Make the command of a shard. It reports to its parent on the descriptor `report_to`."""
    return reporting((*_CELERY, *arguments), report_to)


def reporting(command: Command, report_to: int) -> Command:
    """Extend a command so that its process reports on the descriptor `report_to` why it cannot start."""
    python, option, module, *arguments = command
    return (python, option, module, "--report-to", str(report_to), *arguments)


def shard_arguments(settings: Settings, extra: Sequence[str] = (), *, cores: int) -> Command:
    """Make the arguments of `celery worker`. It skips a second of looking for other workers, which nothing here needs.

    Args:
        settings: the setting `worker_concurrency` becomes an option.
        extra: further options.
        cores: the number of cores of this shard, for a pool of processes.
    """
    concurrency = settings.worker_concurrency
    options = () if concurrency is None else ("--concurrency", str(concurrency))
    worker = ("--cores", str(cores), "worker", "--loglevel=info", "--without-mingle", "--without-gossip")
    return (*_app(settings), *worker, *options, *extra)


def fork_server_command(settings: Settings, *, control: int) -> Command:
    """Make the command of the process that forks shards. It takes orders on the socket `control`."""
    return (sys.executable, "-m", "celeriac.engine.start.fork_server", *_app(settings), "--control", str(control))


def beat_command(settings: Settings, extra: Sequence[str] = ()) -> Command:
    """Make the command of `celery beat`, with its schedule file in the data directory."""
    schedule = settings.data_dir.absolute() / "beat-schedule"
    return (*_CELERY, *_app(settings), "beat", "--loglevel=info", "--schedule", str(schedule), *extra)


def flower_command(settings: Settings, options: FlowerOptions, extra: Sequence[str] = ()) -> Command:
    """Make the command of `celery flower`. `FlowerOptions.environment` carries its passwords."""
    return (*_CELERY, *_app(settings), "flower", f"--address={options.address}", f"--port={options.port}", *extra)


def _app(settings: Settings) -> Command:
    return ("-A", settings.app)
