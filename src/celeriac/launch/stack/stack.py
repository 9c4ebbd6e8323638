"""Runs the stack of `celeriac up`: checks the data directory and the ports, and announces the addresses."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from pydantic import SecretStr

from celeriac.core.errors import ResourceBusy
from celeriac.core.files import private_directory, write_private
from celeriac.launch.broker.embedded import EmbeddedValkey
from celeriac.launch.resources.file_lock import FileLock
from celeriac.launch.resources.ports import claim
from celeriac.launch.stack.children import StackOptions, broker_child, celeriac_children
from celeriac.launch.supervision.log_output import LogWriter
from celeriac.launch.supervision.probes import reachable_host
from celeriac.launch.supervision.supervisor import Supervisor
from celeriac.launch.worker.child_leases import ChildLeases
from celeriac.settings import Settings


async def run_stack(settings: Settings, options: StackOptions, stream: TextIO, *, since: float | None = None) -> None:
    """Run the stack until a signal asks it to stop.

    While it is ready, `<data_dir>/stack.json` has its addresses: `{"pid": …, "api": URL, "flower": URL or null}`.

    Args:
        settings: port 0 picks a free one. Without `broker_url` the stack includes an embedded Valkey.
        options: the processes to run.
        stream: gets the log lines and the summary.
        since: the monotonic time at which the start began; now if None.

    Raises:
        ConfigurationError: a setting is wrong, or opens the stack to other machines without a password.
        ResourceBusy: another stack runs on the data directory, or a port is in use.
        StartFailed: a process ended again and again.
    """
    since = time.monotonic() if since is None else since
    settings.check_exposure()
    with _claimed(settings.data_dir.absolute()) as directory:
        broker = EmbeddedValkey(directory) if settings.broker_url is None else None
        reserved: set[int] = set()
        if broker is not None:
            endpoint = await broker.prepare()
            settings = settings.model_copy(update={"broker_url": SecretStr(endpoint.url)})
            reserved.add(endpoint.port)
        settings = _with_ports(settings, options, reserved)
        children = [broker_child(broker)] if broker is not None else []
        leases = ChildLeases(settings)
        children += celeriac_children(settings, options, leases)
        supervisor = Supervisor(children, LogWriter(stream, [child.name for child in children]))
        addresses = _addresses(settings, options)
        try:
            async with leases.kept(supervisor.say):
                await supervisor.run(partial(_announce, supervisor, directory, addresses, since))
        finally:
            (directory / "stack.json").unlink(missing_ok=True)
            if broker is not None:
                broker.withdraw()


@contextmanager
def _claimed(directory: Path) -> Generator[Path]:
    """Keep other stacks away from the data directory."""
    private_directory(directory)
    with FileLock(directory / "lock") as lock:
        if not lock.acquire():
            raise ResourceBusy(
                f"{directory} is in use by the stack with pid {lock.holder()}; "
                "stop it, or choose another directory with --data-dir"
            )
        yield directory


def _with_ports(settings: Settings, options: StackOptions, reserved: set[int]) -> Settings:
    api = claim(settings.host, settings.port, "--port", reserved=reserved)
    if not options.flower:
        return settings.model_copy(update={"port": api})
    flower = claim(settings.host, settings.flower_port, "--flower-port", reserved={*reserved, api})
    return settings.model_copy(update={"port": api, "flower_port": flower})


def _addresses(settings: Settings, options: StackOptions) -> dict[str, str | None]:
    host = reachable_host(settings.host)
    bracketed = f"[{host}]" if ":" in host else host
    return {
        "api": f"http://{bracketed}:{settings.port}",
        "flower": f"http://{bracketed}:{settings.flower_port}" if options.flower else None,
    }


def _announce(supervisor: Supervisor, directory: Path, addresses: dict[str, str | None], since: float) -> None:
    write_private(directory / "stack.json", json.dumps({"pid": os.getpid(), **addresses}))
    supervisor.say(f"ready in {time.monotonic() - since:.1f} s")
    supervisor.say(f"  API docs  {addresses['api']}/docs")
    supervisor.say(f"  jobs      {addresses['api']}/jobs")
    if addresses["flower"] is not None:
        supervisor.say(f"  Flower    {addresses['flower']}")
