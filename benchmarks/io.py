"""How many jobs that wait for 50 ms are done in a second? Most real jobs mainly wait."""

from __future__ import annotations

import asyncio

from benchmarks.harness import Bench
from benchmarks.support.drains import Case, drains
from benchmarks.support.options import Options
from benchmarks.support.system import BASES

_QUICK = 100


def run(options: Options) -> Bench:
    """Measure."""
    question = "jobs that wait for 50 ms, from a full queue, on all cores"
    bench = Bench("io", question, "jobs/s", better="higher", bases=BASES)
    cases = [Case(s, "nap", options.scaled(s.naps, _QUICK), s.fills) for s in options.systems("io")]
    return asyncio.run(drains(bench, cases, "nap", options))
