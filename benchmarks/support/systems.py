"""Lists the compared systems with their settings.

All keep results and acknowledge late. Each has the settings that its documentation recommends for speed, or the fastest
that we found if it recommends none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.support.environments import ROOT
from benchmarks.support.system import ALL, CANVAS, DELAYED, DRAIN, FINISHED, IN_FLIGHT, NONE, START, Argv, System


def every_system(pool: str) -> list[System]:
    """All systems, with Celeriac on one of `POOLS`."""
    return [*_floor(), *_celery(), *_peers(), *_celeriac(pool)]


_QUIET = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")


def _celery_worker(module: str, *options: str) -> Argv:
    return ("-m", "celery", "-A", f"benchmarks.peers.{module}", "worker", *_QUIET, *options)


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
        fills="enqueue",
        recovery=(
            {"BENCH_VISIBILITY": "10", "BENCH_RESTORE_INTERVAL": "1", "BENCH_RESTORE_THROTTLE": "1"},
            "visibility timeout 10 s, restore 1 s",
        ),
        supervised=True,
        questions=ALL | CANVAS | DELAYED | FINISHED,
    )
    return [
        stock,
        replace(
            stock,
            name="stock celery prefork",
            environment="celery",
            settings="as prefork, in an environment without Flower, whose commands Celery imports",
            recovery=None,
            questions=START,
        ),
        replace(
            stock,
            name="celery prefork, base",
            environment="celeriac",
            settings="as prefork, in an environment with celeriac[cli] and nothing else",
            recovery=None,
            questions=START,
        ),
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
    """Commands that run a module as a program, once for each core."""

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
                {"BENCH_HEARTBEAT_TIMEOUT": "3000", "BENCH_MAINTENANCE_CHANCE": "1000000"},
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
            recovery=({"BENCH_IDLE_TIMEOUT": "8000"}, "idle timeout 8 s"),
        ),
        System(
            name="SAQ",
            module="saq_functions",
            environment="saq",
            settings="one process per core, 100 jobs each, three attempts; uvloop, hiredis",
            workers=_saq,
            jobs=6000,
            bulk="gather of 500",
            recovery=({"BENCH_SWEEP": "1", "BENCH_TIMEOUT": "6"}, "sweep 1 s, timeout 6 s"),
        ),
        System(
            name="arq",
            module="arq_functions",
            environment="arq",
            settings="one process per core, 100 jobs each, log_results off; uvloop, hiredis",
            workers=_each("arq_functions"),
            variables={"BENCH_POLL_DELAY": "0.01"},
            jobs=4000,
            bulk="gather of 100",
            recovery=({"BENCH_JOB_TIMEOUT": "6"}, "job timeout 6 s"),
        ),
        System(
            name="streaQ",
            module="streaq_tasks",
            environment="streaq",
            settings="one process per core, 100 tasks each; uvloop",
            workers=_each("streaq_tasks"),
            jobs=5000,
            bulk="enqueue_many",
            recovery=({"BENCH_IDLE_TIMEOUT": "3"}, "idle timeout 3 s"),
        ),
        System(
            name="docket",
            module="docket_tasks",
            environment="docket",
            settings="one process per core, 40 tasks each; uvloop, hiredis",
            workers=_each("docket_tasks"),
            jobs=4000,
            bulk="add_many",
            recovery=({"BENCH_REDELIVERY_TIMEOUT": "3"}, "redelivery timeout 3 s"),
        ),
    ]


def _celeriac(pool: str) -> list[System]:
    workers = _shards("celeriac_jobs") if pool == "asyncio" else _pool("celeriac_jobs", pool)
    typed = System(
        name="celeriac",
        module="celeriac_jobs",
        settings="typed `async def` jobs with job records; no events; " + POOLS[pool],
        workers=workers,
        jobs=50_000 if pool == "asyncio" else 2000,
        delayed=1_000_000 if pool == "asyncio" else 10_000,
        naps={"asyncio": 30_000, "threads": 1500}.get(pool, 200),
        bulk="enqueue_many",
        recovery=({"CELERIAC_LEASE": "5"}, "lease 5 s"),
        supervised=pool in ("asyncio", "prefork"),
        records=True,
        questions=ALL | CANVAS | DELAYED | FINISHED | (IN_FLIGHT if pool == "asyncio" else NONE),
    )
    adopted = replace(
        typed,
        name="celeriac by settings",
        module="celery_adopted",
        settings="the Celery application with Celeriac's settings, without job records",
        workers=_shards("celery_adopted") if pool == "asyncio" else _pool("celery_adopted", pool),
        jobs=min(typed.jobs, 20_000),
        naps=min(typed.naps, 20_000),
        bulk="group",
        fills="enqueue",
        records=False,
        questions=frozenset({"drain", "io", "canvas", "finished"}),
    )
    a_def: Any = {"task": "noop_def", "questions": DRAIN | CANVAS}
    variants = [
        replace(typed, name="celeriac, def", settings="`def` jobs", **a_def),
        replace(typed, name="celeriac, events", settings="events on", variables={"BENCH_EVENTS": "1"}, questions=DRAIN),
        replace(
            typed,
            name="celeriac, signals",
            settings="receivers of signals",
            variables={"BENCH_SIGNALS": "1"},
            questions=DRAIN,
        ),
        replace(
            adopted, name="celeriac by settings, def", settings="`def` tasks", task="noop_def", questions=DRAIN | CANVAS
        ),
    ]
    base = replace(
        typed,
        name="celeriac, base",
        environment="celeriac",
        variables={"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "src")))},
        settings="in an environment with celeriac[cli] and nothing else",
        recovery=None,
        questions=START,
    )
    alone = replace(
        typed,
        name="celeriac, unsupervised",
        settings="`celery worker` without a parent",
        workers=_pool("celeriac_jobs", pool),
        recovery=None,
        supervised=False,
        questions=frozenset({"memory", "latency", "recovery", "start"}),
    )
    return [typed, *variants, adopted, base, alone]


#: Celeriac's pools, described in words.
POOLS = {
    "asyncio": "a shard per core, 1,000 jobs in flight each",
    "prefork": "a pool process per core",
    "threads": "32 threads",
    "solo": "one process",
}


def _shards(module: str) -> Callable[[str, int], list[Argv]]:
    def workers(load: str, processes: int) -> list[Argv]:
        program = ("-m", "celeriac", "worker", "--app", f"benchmarks.peers.{module}:app")
        concurrency = ("--concurrency", "10000") if load == "many" else ()
        return [(*program, "--shards", str(processes), *concurrency, *_QUIET)]

    return workers


def _pool(module: str, pool: str) -> Callable[[str, int], list[Argv]]:
    def workers(_: str, processes: int) -> list[Argv]:
        concurrency = {"asyncio": (), "threads": ("--concurrency=32",)}.get(pool, (f"--concurrency={processes}",))
        return [_celery_worker(module, *(() if pool == "asyncio" else (f"--pool={pool}",)), *concurrency)]

    return workers
