"""`celeriac worker`: a parent with shards, the processes that run jobs.

The parent runs no jobs. It renews the leases of shards, and restarts those that have ended. On Linux, it imports the
application, and forks the shards. `celeriac up` has a fork server for that, as one of its children.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, TextIO

from celeriac.core.collector import paused
from celeriac.core.cores import available_cores
from celeriac.core.parent_protocol import Message, Ready, Retiring, Serving
from celeriac.launch.programs import commands
from celeriac.launch.supervision.child_process import Running, spawn
from celeriac.launch.supervision.child_supervisor import Child
from celeriac.launch.supervision.log_output import SUPERVISOR, LogWriter
from celeriac.launch.supervision.probes import Probe
from celeriac.launch.supervision.report_pipe import ReportPipe
from celeriac.launch.supervision.supervisor import Shutdown, Supervisor, stop_signals
from celeriac.launch.worker import forked_process, worker_options
from celeriac.launch.worker.child_leases import ChildLeases
from celeriac.launch.worker.fork_client import ForkClient
from celeriac.launch.worker.forked_process import Forker
from celeriac.settings import Settings, as_environment, environment_with, set_variables

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
    """The number of shards, and how they run."""

    count: int
    extra: Sequence[str] = ()
    """Further options of `celery worker`."""
    captured: bool = True
    """Whether the parent reads their output. Else it goes to the parent's own output."""
    grace: float | None = 10.0
    """Seconds that they have to finish their jobs; None: no limit."""
    apart: bool = False
    """Whether each is a separate program, and not forked."""


def run_shards(settings: Settings, extra: Sequence[str], stream: TextIO) -> None:
    """Run a worker's shards until a signal asks them to stop, and they have finished their jobs.

    At a second SIGINT or SIGTERM they give their jobs back. A third kills them.

    Args:
        settings: `worker_shards` is their number.
        extra: further options of `celery worker`.
        stream: gets the parent's messages. The shards write to this process's own output.

    Raises:
        CommandLineWrong: an option cannot be used with shards.
        StartFailed: a shard ended again and again before it was ready.
    """
    options = _options(settings, extra)
    if not (_can_fork(options) and _can_watch()):
        asyncio.run(_supervise(settings, options, None, stream))
        return
    with paused():
        from celeriac.engine.start import preloading
        from celeriac.launch.worker.forking_loop import ForkingLoop

    variables = as_environment(settings)
    set_variables(variables)
    for signum in stop_signals():  # until the supervisor sets its handlers: no shard exists yet
        signal.signal(signum, _leave)
    if reason := preloading.preload(settings.app):
        stream.write(f"{preloading.not_forked(reason)}\n")
        stream.flush()
        program = (sys.executable, "-m", "celeriac.launch.worker.apart", *extra)
        os.execve(program[0], program, environment_with(variables))  # noqa: S606
    loop = ForkingLoop()
    fork = loop.run(_supervise(settings, options, loop, stream))
    if fork is not None:
        preloading.run_worker(fork.report_to, fork.arguments)


def _leave(*_: object) -> NoReturn:
    """End at once. An exception would look like a fault of the application, whose import is under way."""
    os._exit(0)


def run_apart(settings: Settings, extra: Sequence[str], stream: TextIO) -> None:
    """Do as `run_shards` does, with shards that are separate programs."""
    asyncio.run(_supervise(settings, replace(_options(settings, extra), apart=True), None, stream))


def _options(settings: Settings, extra: Sequence[str]) -> ShardOptions:
    count = settings.worker_shards or (1 if worker_options.is_prefork(extra) else available_cores())
    worker_options.check(extra, count)
    return ShardOptions(count=count, extra=extra, captured=False, grace=None)


async def _supervise(settings: Settings, options: ShardOptions, forker: Forker | None, stream: TextIO) -> None:
    log = LogWriter(stream, [])
    say = partial(log.line, SUPERVISOR)
    leases = ChildLeases(settings)
    supervisor = Supervisor(shard_children(settings, options, leases, forker), log, shutdown=_SHUTDOWN)
    async with leases.kept(say):
        many = f"{options.count} {'shard is' if options.count == 1 else 'shards are'}"
        await supervisor.run(lambda: say(f"{many} ready"))


def shard_children(
    settings: Settings, options: ShardOptions, leases: ChildLeases, forker: Forker | None = None
) -> list[Child]:
    """Make the shards as children of a supervisor, named `worker`, or `worker-1` and so on if there are several.

    `forker` forks them. Without one, the fork server is one more child, `worker`, if forking is possible.
    """
    variables = as_environment(settings)
    if options.captured:
        variables["PYTHONUNBUFFERED"] = "1"
    kept: dict[str, Any] = {"captured": options.captured, "grace": options.grace}
    children: list[Child] = []
    if forker is None and _can_fork(options):
        forker = server = ForkClient(settings, variables)
        probe, dispensable = (lambda: server), (lambda: server.is_unfit)
        children.append(Child(name="worker", spawn=server.spawn, probe=probe, dispensable=dispensable, **kept))
        kept["after"] = server.settled
    for number in range(1, options.count + 1):
        shard = _Shard(settings, options, number, variables, forker, leases)
        name = "worker" if options.count == 1 else f"worker-{number}"
        retired = shard.why_it_retired
        children.append(
            Child(name=name, spawn=shard.spawn, probe=shard.probe, on_end=leases.end, retired=retired, **kept)
        )
    return children


def _can_fork(options: ShardOptions) -> bool:
    return forked_process.is_possible() and not options.apart and not worker_options.patches_modules(options.extra)


def _can_watch() -> bool:
    """Return whether an event loop can watch a fork of its process. Old kernels and sandboxes do not allow it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


class _Shard:
    """A shard, which runs in one process after another."""

    def __init__(
        self,
        settings: Settings,
        options: ShardOptions,
        number: int,
        variables: Mapping[str, str],
        forker: Forker | None,
        leases: ChildLeases,
    ) -> None:
        extra = (*options.extra, *worker_options.hostname(options.extra, number, options.count))
        cores = max(1, available_cores() // options.count)
        self._arguments = commands.shard_arguments(settings, extra, cores=cores)
        self._variables = variables
        self._forker = forker
        self._leases = leases
        self._probe = _ReportProbe()

    def probe(self) -> Probe:
        self._probe = _ReportProbe()
        return self._probe

    def why_it_retired(self) -> str:
        """Return why the process retired by plan, as it reported. It is empty if the process did not retire."""
        return self._probe.retiring

    async def spawn(self, output: int | None) -> Running:
        self._probe.report = report = ReportPipe(partial(_heard, self._leases, self._probe))
        descriptor = await report.open()
        try:
            if self._forker is not None and not self._forker.is_unfit:
                return await self._forker.fork(self._arguments, descriptor, output)
            command = commands.shard_command(self._arguments, report_to=descriptor)
            return await spawn(command, environment=self._variables, output=output, inherit=(descriptor,))
        finally:
            report.close()


class _ReportProbe(Probe):
    """A probe that succeeds when the process reports that it is ready."""

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
