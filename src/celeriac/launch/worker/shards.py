"""`celeriac worker`: a parent with shards, the processes that run jobs.

The parent runs no jobs, and does not import the application. It renews the leases of shards, and restarts those that
have ended. On Linux, shards are forked from the fork server, which has imported the application.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

from celeriac.core.cores import available_cores
from celeriac.core.parent_protocol import Message, Ready, Retiring, Serving
from celeriac.launch.programs import commands
from celeriac.launch.supervision.child_process import Running, spawn
from celeriac.launch.supervision.child_supervisor import Child
from celeriac.launch.supervision.log_output import SUPERVISOR, LogWriter
from celeriac.launch.supervision.probes import Probe
from celeriac.launch.supervision.report_pipe import ReportPipe
from celeriac.launch.supervision.supervisor import Shutdown, Supervisor
from celeriac.launch.worker import fork_client, worker_options
from celeriac.launch.worker.child_leases import ChildLeases
from celeriac.launch.worker.fork_client import ForkClient, ForkedAhead, fork_ahead
from celeriac.settings import Settings, as_environment

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
    """Seconds that they have to finish their jobs; None for no limit."""


def run_shards(settings: Settings, extra: Sequence[str], stream: TextIO) -> None:
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
    options = ShardOptions(count=count, extra=extra, captured=False, grace=None)
    ahead = fork_ahead(settings, as_environment(settings)) if _can_fork(options) else None
    asyncio.run(_supervise(settings, options, ahead, stream))


async def _supervise(settings: Settings, options: ShardOptions, ahead: ForkedAhead | None, stream: TextIO) -> None:
    log = LogWriter(stream, [])
    say = partial(log.line, SUPERVISOR)
    leases = ChildLeases(settings)
    supervisor = Supervisor(shard_children(settings, options, leases, ahead), log, shutdown=_SHUTDOWN)
    async with leases.kept(say):
        many = f"{options.count} {'shard is' if options.count == 1 else 'shards are'}"
        await supervisor.run(lambda: say(f"{many} ready"))


def shard_children(
    settings: Settings, options: ShardOptions, leases: ChildLeases, ahead: ForkedAhead | None = None
) -> list[Child]:
    """The shards as children of a supervisor, named `worker`, or `worker-1` and so on if there are several.

    One more child, `worker`, is the fork server, where forking is possible: `ahead`, if it runs already.
    """
    variables = as_environment(settings)
    if options.captured:
        variables["PYTHONUNBUFFERED"] = "1"
    kept: dict[str, Any] = {"captured": options.captured, "grace": options.grace}
    server = ForkClient(settings, variables, ahead) if _can_fork(options) else None
    children: list[Child] = []
    if server is not None:
        probe, dispensable = (lambda: server), (lambda: server.is_unfit)
        children.append(Child(name="worker", spawn=server.spawn, probe=probe, dispensable=dispensable, **kept))
        kept["after"] = server.settled
    for number in range(1, options.count + 1):
        shard = _Shard(settings, options, number, variables, server, leases)
        name = "worker" if options.count == 1 else f"worker-{number}"
        retired = shard.why_it_retired
        children.append(
            Child(name=name, spawn=shard.spawn, probe=shard.probe, on_end=leases.end, retired=retired, **kept)
        )
    return children


def _can_fork(options: ShardOptions) -> bool:
    return fork_client.is_possible() and not worker_options.patches_modules(options.extra)


class _Shard:
    """One shard, over as many processes as it takes."""

    def __init__(
        self,
        settings: Settings,
        options: ShardOptions,
        number: int,
        variables: Mapping[str, str],
        server: ForkClient | None,
        leases: ChildLeases,
    ) -> None:
        extra = (*options.extra, *worker_options.hostname(options.extra, number, options.count))
        cores = max(1, available_cores() // options.count)
        self._arguments = commands.shard_arguments(settings, extra, cores=cores)
        self._variables = variables
        self._server = server
        self._leases = leases
        self._probe = _ReportProbe()

    def probe(self) -> Probe:
        self._probe = _ReportProbe()
        return self._probe

    def why_it_retired(self) -> str:
        """Why the process takes no more jobs by its own plan; empty if it has told no such thing."""
        return self._probe.retiring

    async def spawn(self, output: int | None) -> Running:
        self._probe.report = report = ReportPipe(partial(_heard, self._leases, self._probe))
        descriptor = await report.open()
        try:
            if self._server is not None and not self._server.is_unfit:
                return await self._server.fork(self._arguments, descriptor, output)
            command = commands.shard_command(self._arguments, report_to=descriptor)
            return await spawn(command, environment=self._variables, output=output, inherit=(descriptor,))
        finally:
            report.close()


class _ReportProbe(Probe):
    """Ready when the process has reported so."""

    reported = False
    retiring = ""

    async def ready(self) -> bool:
        return self.reported


def _heard(leases: ChildLeases, probe: _ReportProbe, message: Message) -> None:
    match message:
        case Serving(pid, broker_url):
            leases.hold(pid, broker_url)
        case Ready():
            probe.reported = True
        case Retiring(reason):
            probe.retiring = reason
        case _:
            pass
