"""How fast do workflows run: chains of five tasks, and chords of ten with a callback?

Both sides use Celery's own canvas, and tasks that do nothing. All first tasks are enqueued before. A chord counts as
eleven tasks.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from benchmarks.harness import Bench
from benchmarks.peers.workload import CHAIN, CHORD
from benchmarks.support.drains import Case, drains
from benchmarks.support.options import Options
from benchmarks.support.system import System

#: A number of tasks that makes whole workflows of both kinds.
_WHOLE = CHAIN * CHORD
#: The most tasks of a run: some seconds of work, like the `jobs` of the slower systems.
_MOST = 200 * _WHOLE
_QUICK = 2 * _WHOLE


def run(options: Options) -> Bench:
    """Measure."""
    bench = Bench("canvas", "tasks of chains and chords, on all cores", "tasks/s", better="higher")
    cases = [_case(system, action, options) for action in ("chains", "chords") for system in options.systems("canvas")]
    return asyncio.run(drains(bench, cases, "noop", options))


def _case(system: System, action: str, options: Options) -> Case:
    tasks = min(system.jobs, _MOST) // _WHOLE * _WHOLE
    return Case(replace(system, name=f"{action}: {system.name}"), system.task, options.scaled(tasks, _QUICK), action)
