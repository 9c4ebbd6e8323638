"""How many jobs that wait 50 ms for something, as most jobs do, are done in a second?"""

from __future__ import annotations

import asyncio

from benchmarks.harness import Bench
from benchmarks.support.drains import Case, drains
from benchmarks.support.options import Options

_QUICK = 100


def run(options: Options) -> Bench:
    """Measure."""
    bench = Bench("io", "jobs that wait for 50 ms, from a full queue, on all cores", "jobs/s", better="higher")
    cases = [Case(s, "nap", options.scaled(s.naps, _QUICK)) for s in options.systems("io")]
    return asyncio.run(drains(bench, cases, "nap", options))
