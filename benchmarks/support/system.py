"""Describes a compared system: its guarantee, how to start its workers, and which benchmarks it takes part in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

#: The arguments that start a program, without the interpreter.
Argv = tuple[str, ...]

AT_LEAST_ONCE = "at least once"

#: The systems that tables compare the others with.
BASES = ("floor", "celery prefork")

ALL = frozenset({"drain", "io", "enqueue_peers", "latency", "memory", "recovery", "start"})
START = frozenset({"start"})
DRAIN = frozenset({"drain"})
CANVAS = frozenset({"canvas"})
DELAYED = frozenset({"delayed"})
IN_FLIGHT = frozenset({"in_flight"})
FINISHED = frozenset({"finished"})
NONE = frozenset[str]()


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Attributes:
        name: its name in the tables.
        module: its module in `benchmarks.peers`.
        settings: its settings, in words.
        workers: makes the commands that start its workers, from a load ("noop", "nap", "long", or "many" long ones at
            once) and the number of processes that run jobs.
        environment: its `requirements` file. None means the project's own environment.
        variables: environment variables of its processes. `BENCH_…` are settings of its module.
        jobs: how many noop jobs it drains in about five seconds on two cores.
        naps: how many jobs that wait 50 ms it drains in that time.
        guarantee: what a crash of a worker means for its jobs.
        bulk: its way of enqueueing many jobs, in words. None if it has none.
        fills: the producer that fills its queue: "enqueue", one by one, if the bulk API makes other messages.
        task: the noop that it runs: "noop" (`async def` if it supports that) or "noop_def".
        recovery: the variables with which it finds a dead worker's jobs sooner, and their meaning in words.
        delayed: how many delayed jobs it has to keep.
        records: whether it keeps a record and events of each job.
        supervised: whether its worker outlives the processes that run its jobs.
        questions: the benchmarks that have a row for it.
    """

    name: str
    module: str
    settings: str
    workers: Callable[[str, int], list[Argv]]
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    jobs: int = 5000
    guarantee: str = AT_LEAST_ONCE
    bulk: str | None = None
    fills: str = "fill"
    task: str = "noop"
    recovery: tuple[Mapping[str, str], str] | None = None
    naps: int = 5000
    delayed: int = 10_000
    records: bool = False
    supervised: bool = False
    questions: frozenset[str] = ALL

    @property
    def family(self) -> str:
        """The first word of the name, by which `--systems` chooses."""
        return self.name.partition(" ")[0].rstrip(",")

    def tuned(self) -> System:
        """This system with the settings that find a dead worker's jobs sooner."""
        assert self.recovery is not None
        variables, words = self.recovery
        return replace(self, name=f"{self.name}, {words}", variables={**self.variables, **variables})
