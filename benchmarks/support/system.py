"""A system that is compared with others: what it guarantees, how its workers are started, what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

#: What a program is started with, without the interpreter.
Argv = tuple[str, ...]

AT_LEAST_ONCE = "at least once"

#: Whose multiples tables show.
BASES = ("floor", "celery prefork")

ALL = frozenset({"drain", "io", "enqueue_peers", "latency", "memory", "recovery"})
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
        name: as in the tables.
        module: its module in `benchmarks.peers`.
        settings: in words.
        workers: the commands that start its workers, given a load ("noop", "nap", "long", or "many" long ones at
            once) and how many processes shall run jobs.
        environment: its `requirements` file; None for what the project depends on.
        variables: what its processes find in their environment; `BENCH_…` are settings of its module.
        jobs: how many noop jobs it drains in about five seconds on two cores.
        naps: the same with jobs that wait 50 ms.
        guarantee: what a crash of a worker means for the jobs it had.
        bulk: its way of enqueueing many jobs, in words; None if it has none.
        fills: the producer that fills its queue; "enqueue", one by one, where the bulk API makes other messages.
        task: the noop it runs: "noop" (`async def` where it knows that) or "noop_def".
        recovery: the variables with which it finds a dead worker's jobs sooner, and what they mean, in words.
        delayed: how many delayed jobs it is given to keep.
        records: it keeps a record and events of each job.
        supervised: its worker outlives the processes that run its jobs.
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
        """What `--systems` chooses by: the first word of the name."""
        return self.name.partition(" ")[0].rstrip(",")

    def tuned(self) -> System:
        """The same, with the settings that find a dead worker's jobs sooner."""
        assert self.recovery is not None
        variables, words = self.recovery
        return replace(self, name=f"{self.name}, {words}", variables={**self.variables, **variables})
