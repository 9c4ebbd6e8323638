"""The command lines of the stack's processes. They can be read by every user of the machine: no secrets in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celeriac.launch.flower import FlowerOptions
from celeriac.settings import Settings

#: Serves the application that the settings name.
DEFAULT_API = "celeriac.asgi:create_api"

Command = tuple[str, ...]

_GRACE_FOR_REQUESTS = 3  # seconds; an open event stream would hold up the shutdown for ever


def api_command(settings: Settings, api: str | None = None, extra: Sequence[str] = ()) -> Command:
    """uvicorn with the API, or with the ASGI application that `api` names (`module:attribute`)."""
    target = ("--factory", DEFAULT_API) if api is None else (api,)
    address = ("--host", settings.host.strip("[]"), "--port", str(settings.port))
    shutdown = ("--timeout-graceful-shutdown", str(_GRACE_FOR_REQUESTS))
    return (sys.executable, "-m", "uvicorn", *target, *address, *shutdown, *extra)


def shard_command(settings: Settings, extra: Sequence[str] = (), *, report_to: int, cores: int) -> Command:
    """`celery worker`, without the second it takes to look for other workers, whose state nothing here needs.

    Args:
        settings: `worker_concurrency` becomes an option.
        extra: further options.
        report_to: the file descriptor on which it reports to its parent (`engine/shard.py`).
        cores: its part of the cores, for a pool of processes.
    """
    concurrency = settings.worker_concurrency
    options = () if concurrency is None else ("--concurrency", str(concurrency))
    shard = ("--report-to", str(report_to), "--cores", str(cores))
    command = (*_celery(settings), *shard, "worker", "--loglevel=info", "--without-mingle", "--without-gossip")
    return (*command, *options, *extra)


def beat_command(settings: Settings, extra: Sequence[str] = ()) -> Command:
    """`celery beat`, its schedule kept in the data directory."""
    schedule = settings.data_dir.absolute() / "beat-schedule"
    return (*_celery(settings), "beat", "--loglevel=info", "--schedule", str(schedule), *extra)


def flower_command(settings: Settings, options: FlowerOptions, extra: Sequence[str] = ()) -> Command:
    """`celery flower`; its passwords travel in `FlowerOptions.environment`."""
    return (*_celery(settings), "flower", f"--address={options.address}", f"--port={options.port}", *extra)


def _celery(settings: Settings) -> Command:
    return (sys.executable, "-m", "celeriac.engine.command", "-A", settings.app)
