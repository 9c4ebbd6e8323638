"""What does a report cost, beside the library alone with the same rows?

100,000 rows of eight columns as PDF, XLSX and CSV, and a designed PDF of two pages in a warm process. Each run is a
process of its own, whose peak of memory is measured as well. Jobs and storage are not a part of it.
"""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.harness import Bench
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.rounds import Sample, rounds

_ROWS = 100_000
_QUICK = 5_000
_TWO_PAGES = 44


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("reports", f"{_ROWS:,} rows, and a designed report of two pages", "s", bases=("plain",))
    count = _QUICK if options.quick else _ROWS
    rows = [f"{kind}: {system}" for kind in ("pdf", "xlsx", "csv", "designed") for system in ("plain", "celeriac")]
    bench.notes.append("`plain` is reportlab, xlsxwriter (`constant_memory`), the csv module, and `typst.compile`.")
    return await rounds(bench, options, rows, lambda name: _measure(name, count))


async def _measure(name: str, count: int) -> Sample:
    kind, _, system = name.partition(": ")
    number = _TWO_PAGES if kind == "designed" else count
    arguments = ("-m", "benchmarks.support.report_runs", kind, system, str(number))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RunFailed(f"{name} ended with {process.returncode}")
    found = json.loads(told.splitlines()[-1])
    return Sample(found["seconds"], {"peak MiB": found["peak"], "MB": found["bytes"] / 1e6})
