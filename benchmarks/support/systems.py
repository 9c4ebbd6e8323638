"""What is compared: each system, how it guarantees what, and the settings it is run with.

All keep results and acknowledge late. Settings are those that each system's documentation recommends for speed, or the
fastest found where it recommends none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

#: What a program is started with, without the interpreter.
Argv = tuple[str, ...]

AT_LEAST_ONCE = "at least once"

ALL = frozenset({"drain", "io", "enqueue_peers", "latency", "memory", "recovery"})
DRAIN = frozenset({"drain"})
CANVAS = frozenset({"canvas"})
DELAYED = frozenset({"delayed"})


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Attributes:
        name: as in the tables.
        module: its module in `benchmarks.peers`.
        settings: in words.
        workers: the commands that start its workers, given a load ("noop", "nap" or "long") and how many processes
            shall run jobs.
        environment: its `requirements` file; None for what the project depends on.
        variables: settings of its module (`workload.variant`).
        jobs: how many noop jobs it drains in about five seconds on two cores.
        naps: the same with jobs that wait 50 ms.
        guarantee: what a crash of a worker means for the jobs it had.
        bulk: its way of enqueueing many jobs, in words; None if it has none.
        task: the noop it runs: "noop" (`async def` where it knows that) or "noop_def".
        recovery: the variables with which it finds a dead worker's jobs sooner, and what they mean, in words.
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
    task: str = "noop"
    recovery: tuple[Mapping[str, str], str] | None = None
    naps: int = 5000
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


def every_system(pool: str) -> list[System]:
    """All of them, with Celeriac's worker on the given pool of Celery's."""
    return [*_floor(), *_celery(), *_peers(), *_celeriac(pool)]


def _celery_worker(module: str, *options: str) -> Argv:
    quiet = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
    return ("-m", "celery", "-A", f"benchmarks.peers.{module}", "worker", *quiet, *options)


def _floor() -> list[System]:
    floor = System(
        name="floor",
        module="floor",
        settings="one asyncio loop per core, 1,000 jobs in flight each; uvloop, hiredis",
        workers=_each("floor"),
        bulk="LPUSH of many",
        jobs=150_000,
        naps=40_000,
    )

    def one(load: str, _: int) -> list[Argv]:
        return _each("floor")(load, 1)

    return [floor, replace(floor, name="floor, one process", workers=one, jobs=80_000, questions=DRAIN)]


def _celery() -> list[System]:
    def prefork(_: str, processes: int) -> list[Argv]:
        return [_celery_worker("celery_tasks", "--pool=prefork", f"--concurrency={processes}")]

    def solo(_: str, __: int) -> list[Argv]:
        return [_celery_worker("celery_tasks", "--pool=solo")]

    def threads(_: str, __: int) -> list[Argv]:
        return [_celery_worker("celery_tasks", "--pool=threads", "--concurrency=32")]

    stock = System(
        name="celery prefork",
        module="celery_tasks",
        settings="one pool process per core, prefetch 64 each; no gossip, mingle, heartbeat, events; hiredis",
        workers=prefork,
        jobs=2000,
        naps=200,
        bulk="group",
        recovery=({"visibility": "10"}, "visibility timeout 10 s"),
        supervised=True,
        questions=ALL | CANVAS | DELAYED,
    )
    return [
        stock,
        replace(
            stock,
            name="celery solo",
            settings="as prefork, in one process",
            workers=solo,
            questions=frozenset({"drain", "latency"}),
        ),
        replace(
            stock,
            name="celery threads",
            settings="as prefork, 32 threads",
            workers=threads,
            naps=1500,
            questions=frozenset({"drain", "io"}),
        ),
    ]


def _dramatiq(load: str, processes: int) -> list[Argv]:
    threads = "32" if load == "nap" else "8"
    program = ("-m", "dramatiq", "benchmarks.peers.dramatiq_actors")
    return [(*program, "--processes", str(processes), "--threads", threads, "--skip-logging")]


def _taskiq(_: str, processes: int) -> list[Argv]:
    program = ("-m", "taskiq", "worker", "benchmarks.peers.taskiq_tasks:broker", "--log-level", "WARNING")
    return [(*program, "--workers", str(processes), "--max-async-tasks", "100", "--max-prefetch", "100")]


def _saq(_: str, processes: int) -> list[Argv]:
    return [("-m", "saq", "benchmarks.peers.saq_functions.settings", "--workers", str(processes))]


def _each(module: str) -> Callable[[str, int], list[Argv]]:
    """A process of its own for each core, of a module that is a program."""

    def workers(_: str, processes: int) -> list[Argv]:
        return [("-m", f"benchmarks.peers.{module}")] * processes

    return workers


def _peers() -> list[System]:
    return [
        System(
            name="dramatiq",
            module="dramatiq_actors",
            environment="dramatiq",
            settings="one process per core, 8 threads each (32 for I/O); results; hiredis",
            workers=_dramatiq,
            jobs=10_000,
            recovery=(
                {"heartbeat_timeout": "3000", "maintenance_chance": "1000000"},
                "heartbeat timeout 3 s, maintenance always",
            ),
        ),
        System(
            name="taskiq",
            module="taskiq_tasks",
            environment="taskiq",
            settings="streams; one process per core, 100 tasks each, prefetch 100; orjson, uvloop, hiredis",
            workers=_taskiq,
            jobs=6000,
            bulk="gather of 100",
            recovery=({"idle_timeout": "8000"}, "idle timeout 8 s"),
        ),
        System(
            name="SAQ",
            module="saq_functions",
            environment="saq",
            settings="one process per core, 100 jobs each; uvloop, hiredis",
            workers=_saq,
            jobs=6000,
            bulk="gather of 500",
            recovery=({"sweep": "1", "options": '{"timeout": 6, "retries": 3}'}, "sweep 1 s, timeout 6 s, retries"),
        ),
        System(
            name="arq",
            module="arq_functions",
            environment="arq",
            settings="one process per core, 100 jobs each, log_results off; uvloop, hiredis",
            workers=_each("arq_functions"),
            variables={"poll_delay": "0.01"},
            jobs=4000,
            bulk="gather of 100",
            recovery=({"job_timeout": "6"}, "job timeout 6 s"),
        ),
        System(
            name="streaQ",
            module="streaq_tasks",
            environment="streaq",
            settings="one process per core, 100 tasks each; uvloop",
            workers=_each("streaq_tasks"),
            jobs=5000,
            bulk="enqueue_many",
            recovery=({"idle_timeout": "3"}, "idle timeout 3 s"),
        ),
        System(
            name="docket",
            module="docket_tasks",
            environment="docket",
            settings="one process per core, 40 tasks each; uvloop, hiredis",
            workers=_each("docket_tasks"),
            jobs=4000,
            bulk="add_many",
            recovery=({"redelivery_timeout": "3"}, "redelivery timeout 3 s"),
        ),
    ]


def _celeriac(pool: str) -> list[System]:
    def workers(load: str, processes: int) -> list[Argv]:
        concurrency = "32" if pool == "threads" else str(processes)
        return [_celery_worker("celeriac_jobs", f"--pool={pool}", f"--concurrency={concurrency}")]

    typed = System(
        name="celeriac",
        module="celeriac_jobs",
        settings=f"typed `async def` jobs with job records, pool {pool}; no events",
        workers=workers,
        jobs=2000,
        naps=200,
        bulk="enqueue_many",
        supervised=pool == "prefork",
        questions=ALL | CANVAS | DELAYED,
    )
    return [
        typed,
        replace(
            typed,
            name="celeriac, def",
            settings="the same, `def` jobs",
            task="noop_def",
            questions=DRAIN | CANVAS,
        ),
        replace(
            typed,
            name="celeriac, events",
            settings="the same, events on",
            variables={"events": "1"},
            questions=DRAIN,
        ),
        replace(
            typed,
            name="celeriac, signals",
            settings="the same, receivers of task_prerun and task_postrun",
            variables={"signals": "1"},
            questions=DRAIN,
        ),
    ]
