"""How soon does a worker of two processes run its first job, and how much memory do all its processes then take?

The time runs from the start of the program to the job's own record. The job waits in the queue. Bytecode is compiled.
Memory is the sum over the whole process tree, with shared pages in proportion (PSS), when the worker is idle again.
"""

from __future__ import annotations

import asyncio
import compileall
import subprocess
from pathlib import Path

from benchmarks.harness import Bench
from benchmarks.support.environments import ROOT
from benchmarks.support.fleet import Fleet
from benchmarks.support.options import Options
from benchmarks.support.procfs import cpu_seconds, pss_mib
from benchmarks.support.records import new_records
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from benchmarks.support.system import System

_PROCESSES = 2

#: Seconds: to settle after the first job, and until it must have come.
_SETTLE = 2.0
_DEADLINE = 60.0

#: Prints how many seconds an import takes.
_IMPORT = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("start", f"from a start with {_PROCESSES} processes to the first job", "s", bases=("celery prefork",))
    fleet = Fleet(options.environments)
    systems = {system.name: system for system in options.systems("start")}
    for folder in (ROOT / "src", ROOT / "benchmarks"):
        compileall.compile_dir(folder, quiet=1)
    measured = await rounds(bench, options, list(systems), lambda name: _measure(fleet, options, systems[name]))
    measured.notes.append(f"`import celeriac` takes {_seconds_to_import('celeriac', options):.3f} s.")
    return measured


async def _measure(fleet: Fleet, options: Options, system: System) -> Sample:
    python = options.environments.python(system.environment)
    packages = Path(python).parents[1] / "lib"
    await asyncio.to_thread(compileall.compile_dir, packages, quiet=1)  # does nothing from the second round on
    with new_records() as records:
        async with fresh_server() as server:
            await fleet.produce(system, "enqueue", system.task, 1, server.url)
            async with fleet.workers(system, "noop", server.url, records, processes=_PROCESSES) as workers:
                await workers.wait_for(1, within=_DEADLINE)
                used = cpu_seconds(workers.pids())
                await asyncio.sleep(min(_SETTLE, 1.0) if options.quick else _SETTLE)
                pids = workers.pids()
                more = {"CPU s": used, "MiB PSS": pss_mib(pids), "processes": float(len(pids))}
                return Sample(records.check(1)[0].at - workers.began, more)


def _seconds_to_import(module: str, options: Options) -> float:
    program = (options.environments.python(None), "-c", _IMPORT.format(module))
    return min(float(subprocess.check_output(program)) for _ in range(options.rounds))
