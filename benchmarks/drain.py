"""How many jobs that do nothing are done in a second, with a full queue and all cores?

Results are stored, and messages are acknowledged after their jobs. The queue is filled before. A rate counts from the
first job to the last. On a busy machine, the CPU time of workers and broker per job is the steadier figure.
"""

from __future__ import annotations

import asyncio

from benchmarks.harness import Bench
from benchmarks.support.drains import Case, drains
from benchmarks.support.options import Options
from benchmarks.support.system import BASES

_QUICK = 300


def run(options: Options) -> Bench:
    """Measure."""
    question = "jobs that do nothing, from a full queue, on all cores"
    bench = Bench("drain", question, "jobs/s", better="higher", bases=BASES)
    cases = [Case(s, s.task, options.scaled(s.jobs, _QUICK), s.fills) for s in options.systems("drain")]
    return asyncio.run(drains(bench, cases, "noop", options))
