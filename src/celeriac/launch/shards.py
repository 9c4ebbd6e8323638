"""`celeriac worker`: a parent with shards, the processes that run jobs.

The parent runs none itself, and does not import the application. It holds the shards' leases, and starts what has
ended again.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TextIO

from celeriac.core.cores import available_cores
from celeriac.launch import commands, worker_options
from celeriac.launch.environment import as_environment
from celeriac.launch.keeper import Child
from celeriac.launch.leases import Leases
from celeriac.launch.output import SUPERVISOR, LineReader, LogWriter
from celeriac.launch.probes import Probe
from celeriac.launch.process import ChildProcess, spawn
from celeriac.launch.supervisor import Shutdown, Supervisor
from celeriac.settings import Settings

_SHUTDOWN = Shutdown(
    promise="stopping when the running jobs have ended; another signal gives them back to their queues",
    hurry=(
        (signal.SIGQUIT, "stopping now: what runs is given back; another signal kills"),
        (signal.SIGKILL, "killing what is left"),
    ),
    on=(signal.SIGINT, signal.SIGTERM),
)


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """How many shards, and how each is run."""

    count: int
    extra: Sequence[str] = ()
    """Further options of `celery worker`."""
    captured: bool = True
    """Whether their output is read by the parent, or goes where the parent's goes."""
    grace: float | None = 10.0
    """Seconds that they have for finishing their jobs; None for as long as it takes."""


async def run_shards(settings: Settings, extra: Sequence[str], stream: TextIO) -> None:
    """Run a worker's shards until a signal asks them to stop, and they have finished their jobs.

    A second SIGINT or SIGTERM has them give their jobs back, a third kills them.

    Args:
        settings: `worker_shards` says how many.
        extra: further options of `celery worker`.
        stream: gets what the parent has to say; the shards write to this process's own output.

    Raises:
        CommandLineWrong: an option cannot be used with shards.
        StartFailed: a shard ended again and again before it was ready.
    """
    count = settings.worker_shards or (1 if worker_options.is_prefork(extra) else available_cores())
    worker_options.check(extra, count)
    log = LogWriter(stream, [])
    say = partial(log.line, SUPERVISOR)
    leases = Leases(settings)
    options = ShardOptions(count=count, extra=extra, captured=False, grace=None)
    supervisor = Supervisor(shard_children(settings, options, leases), log, shutdown=_SHUTDOWN)
    async with leases.kept(say):
        await supervisor.run(lambda: say(f"{count} {'shard is' if count == 1 else 'shards are'} ready"))


def shard_children(settings: Settings, options: ShardOptions, leases: Leases) -> list[Child]:
    """The shards as children of a supervisor, named `worker`, or `worker-1` and so on if there are several."""
    children: list[Child] = []
    for number in range(1, options.count + 1):
        shard = _Shard(settings, options, number, leases)
        children.append(
            Child(
                name="worker" if options.count == 1 else f"worker-{number}",
                spawn=shard.spawn,
                probe=shard.probe,
                on_end=leases.end,
                captured=options.captured,
                grace=options.grace,
            )
        )
    return children


class _Shard:
    """One shard, over as many processes as it takes. What a process reports is described in `engine/shard.py`."""

    def __init__(self, settings: Settings, options: ShardOptions, number: int, leases: Leases) -> None:
        self._settings = settings
        self._extra = (*options.extra, *worker_options.hostname(options.extra, number, options.count))
        self._variables = as_environment(settings)
        if options.captured:
            self._variables["PYTHONUNBUFFERED"] = "1"
        self._cores = max(1, available_cores() // options.count)
        self._leases = leases
        self._probe = _ReportProbe()

    def probe(self) -> Probe:
        self._probe = _ReportProbe()
        return self._probe

    async def spawn(self, output: int | None) -> ChildProcess:
        report = _Report(self._leases, self._probe)
        pipe = await LineReader.open(report.line)
        try:
            command = commands.shard_command(self._settings, self._extra, report_to=pipe.write_end, cores=self._cores)
            process = await spawn(command, environment=self._variables, output=output, inherit=(pipe.write_end,))
        finally:
            pipe.close_write_end()
        report.started(process.pid)
        return process


class _ReportProbe(Probe):
    """Ready when the process has reported so."""

    reported = False

    async def ready(self) -> bool:
        return self.reported


class _Report:
    """What one process reports: its broker's URL, then that it is ready."""

    def __init__(self, leases: Leases, probe: _ReportProbe) -> None:
        self._leases = leases
        self._probe = probe
        self._pid: int | None = None
        self._broker: str | None = None

    def started(self, pid: int) -> None:
        self._pid = pid
        self._hold()

    def line(self, line: str) -> None:
        if line == "ready":
            self._probe.reported = True
        else:
            self._broker = line
            self._hold()

    def _hold(self) -> None:
        if self._pid is not None and self._broker is not None:
            self._leases.hold(self._pid, self._broker)
