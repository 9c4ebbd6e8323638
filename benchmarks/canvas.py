"""How fast do workflows run: chains of five tasks, and chords of ten with a callback?

Celery's own canvas on both sides, tasks that do nothing, all first tasks in the queue before. A chord counts eleven.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from benchmarks.harness import Bench
from benchmarks.peers.workload import CHAIN, CHORD
from benchmarks.support.drains import Case, drains
from benchmarks.support.options import Options

#: Tasks of a run; a multiple of both, so that only whole workflows are enqueued.
_TASKS = 4 * CHAIN * CHORD * 10
_QUICK = CHAIN * CHORD * 2


def run(options: Options) -> Bench:
    """Measure."""
    bench = Bench("canvas", "tasks of chains and chords, on all cores", "tasks/s", better="higher")
    tasks = options.scaled(_TASKS, _QUICK)
    cases = [
        Case(replace(system, name=f"{action}: {system.name}"), system.task, tasks, action)
        for action in ("chains", "chords")
        for system in options.systems("canvas")
    ]
    return asyncio.run(drains(bench, cases, "noop", options))
