"""The processes of a stack: the command and the probe of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from celeriac.core.files import PRIVATE
from celeriac.launch.broker import embedded
from celeriac.launch.broker.embedded import EmbeddedValkey
from celeriac.launch.programs import commands
from celeriac.launch.programs.flower import flower_options
from celeriac.launch.supervision.child_process import ChildProcess, spawn
from celeriac.launch.supervision.child_supervisor import Child
from celeriac.launch.supervision.probes import HttpProbe, LogProbe, Probe
from celeriac.launch.supervision.report_pipe import ReportPipe
from celeriac.launch.worker.child_leases import ChildLeases
from celeriac.launch.worker.shards import ShardOptions, shard_children
from celeriac.settings import Settings, as_environment


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """The choice of processes to run. `api` names the user's own ASGI application, `module:attribute`."""

    api: str | None = None
    beat: bool = True
    flower: bool = True


def broker_child(broker: EmbeddedValkey) -> Child:
    """Make the child of the embedded broker, which starts before all others and stops last."""
    return Child(
        name="broker",
        spawn=broker.spawn,
        probe=broker.probe,
        on_ready=broker.publish,
        is_noise=embedded.is_noise,
        stage=0,
    )


def celeriac_children(settings: Settings, options: StackOptions, leases: ChildLeases) -> list[Child]:
    """Make API, worker, beat and Flower. Their environment has `settings`. By default the worker is one shard.

    Raises:
        ConfigurationError: Flower would be open to other machines without a password.
    """
    variables = {**as_environment(settings), "PYTHONUNBUFFERED": "1"}
    children = [
        reporting_child("api", commands.api_command(settings, options.api), variables, _api_probe(settings, options)),
        *shard_children(settings, ShardOptions(count=settings.worker_shards or 1), leases),
    ]
    if options.beat:
        command = commands.beat_command(settings)
        children.append(
            reporting_child("beat", command, variables, partial(LogProbe, r"beat: Starting"), umask=PRIVATE)
        )
    if options.flower:
        flower = flower_options(settings)
        command = commands.flower_command(settings, flower)
        probe = partial(HttpProbe, flower.address, flower.port, "/healthcheck")
        children.append(reporting_child("flower", command, {**variables, **flower.environment()}, probe))
    return children


def _api_probe(settings: Settings, options: StackOptions) -> Callable[[], Probe]:
    if options.api is None:
        return partial(HttpProbe, settings.host, settings.port, "/health/live")
    return partial(HttpProbe, settings.host, settings.port, "/", below=500)  # it may have no such page


def reporting_child(
    name: str,
    command: commands.Command,
    variables: Mapping[str, str],
    probe: Callable[[], Probe],
    umask: int = -1,
) -> Child:
    """Make a child that reports why it cannot start."""
    program = _Program(command, variables, probe, umask)
    return Child(name=name, spawn=program.spawn, probe=program.probe)


class _Program:
    """A program that runs in one process after another."""

    def __init__(
        self, command: commands.Command, variables: Mapping[str, str], probe: Callable[[], Probe], umask: int
    ) -> None:
        self._command = command
        self._variables = variables
        self._umask = umask
        self._new_probe = probe
        self._probe = probe()

    def probe(self) -> Probe:
        self._probe = self._new_probe()
        return self._probe

    async def spawn(self, output: int | None) -> ChildProcess:
        self._probe.report = report = ReportPipe()
        descriptor = await report.open()
        try:
            command = commands.reporting(self._command, descriptor)
            return await spawn(
                command, environment=self._variables, output=output, inherit=(descriptor,), umask=self._umask
            )
        finally:
            report.close()
