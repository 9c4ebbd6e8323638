"""What does a report cost, beside the library alone with the same rows?

100,000 rows of eight columns as PDF, XLSX and CSV, each in a process of its own, whose peak of memory is measured as
well. Then a designed PDF of two pages, in a warm process: `typst.compile` with what our template gets, our rendering
alone, and a job through a real worker, from its submission to its result. The job's rows are in its request, it runs in
a process of its own, and it publishes a file.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from benchmarks.harness import Bench
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.report_runs import MOMENT, REPEATS, Orders
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from celeriac import Celeriac, Settings
from celeriac.core.errors import JobUnsuccessful
from celeriac.families.reports import ReportsFamily, ReportsSettings
from celeriac.families.reports.request import ReportRequest
from celeriac.settings import as_environment, environment_with
from celeriac.worker import create_app

_ROWS = 100_000
_QUICK = 5_000
_TWO_PAGES = 44
_DESIGNED = ("designed: plain", "designed: celeriac", "designed: celeriac, a job")
_COLD = 2  # how many first reports do not count
_LONGEST_S = 120.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("reports", f"{_ROWS:,} rows, and a designed report of two pages", "s", bases=("plain",))
    count = _QUICK if options.quick else _ROWS
    rows = [f"{kind}: {system}" for kind in ("pdf", "xlsx", "csv") for system in ("plain", "celeriac")]
    bench.notes.append("`plain` is reportlab, xlsxwriter (`constant_memory`), the csv module, and `typst.compile`.")
    with TemporaryDirectory(prefix="celeriac-bench-") as folder:
        async with _working(Path(folder)) as app:
            designed: dict[str, Sample] = {}

            async def measure(name: str) -> Sample:
                if name not in _DESIGNED:
                    return await _process(name, count)
                if name == _DESIGNED[0]:
                    designed.update(await _designed(app))
                return designed[name]

            return await rounds(bench, options, [*rows, *_DESIGNED], measure)


async def _process(name: str, count: int) -> Sample:
    async with _started(name, count) as process:
        told, _ = await process.communicate()
    if process.returncode:
        raise RunFailed(f"{name} ended with {process.returncode}")
    return _sample(json.loads(told.splitlines()[-1]))


def _sample(found: Mapping[str, float]) -> Sample:
    return Sample(found["seconds"], {"CPU s": found["cpu"], "peak MiB": found["peak"], "MB": found["bytes"] / 1e6})


@asynccontextmanager
async def _started(name: str, count: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    kind, _, system = name.partition(": ")
    arguments = ("-m", "benchmarks.support.report_runs", kind, system, str(count))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _designed(app: Celeriac) -> Mapping[str, Sample]:
    """Make reports by turns in each way: other load on the machine affects all alike. Return the medians."""
    plain, ours, job = _DESIGNED
    taken: dict[str, list[Sample]] = {name: [] for name in _DESIGNED}
    async with _started(plain, _TWO_PAGES) as first, _started(ours, _TWO_PAGES) as second:
        for number in range(REPEATS):
            for name, process in ((plain, first), (ours, second)):
                taken[name].append(await _next(process))
            taken[job].append(await _job(app, number))
    return {name: _typical(samples[_COLD:]) for name, samples in taken.items()}


async def _next(process: asyncio.subprocess.Process) -> Sample:
    assert process.stdin is not None, "it has a pipe"
    assert process.stdout is not None, "it has a pipe"
    process.stdin.write(b"\n")
    line = await process.stdout.readline()
    if not line:
        raise RunFailed("a process that makes reports has ended")
    return _sample(json.loads(line))


def _typical(samples: Sequence[Sample]) -> Sample:
    """Return the median of the time. Other figures are those of the process in the end; CPU time is for each report."""
    last = dict(samples[-1].more)
    if "CPU s" in last:
        last["CPU s"] = (last["CPU s"] - samples[0].more["CPU s"]) / (len(samples) - 1)
    return Sample(statistics.median(sample.figure for sample in samples), last)


async def _job(app: Celeriac, number: int) -> Sample:
    """Have the worker make a report."""
    orders = Orders(_TWO_PAGES, number)
    asked = ReportRequest.model_validate(
        {
            "source": {
                "rows": [[str(cell) if isinstance(cell, date) else cell for cell in row] for row in orders.rows()],
                "columns": [column.name for column in orders.columns],
            },
            "columns": {"revenue": {"currency": "EUR"}, "margin": {"kind": "percent"}},
            "layout": {"title": f"Orders {number}", "source": "shop", "created_at": MOMENT.isoformat()},
            "force": True,
        }
    )
    began = time.perf_counter()
    handle = await app.family(ReportsFamily).job.enqueue(asked)
    try:
        made = await handle.result(timeout=_LONGEST_S)
    except JobUnsuccessful as error:
        raise RunFailed(str(error)) from None
    seconds = time.perf_counter() - began
    if made.files[0].pages != 2:
        raise RunFailed(f"the report has {made.files[0].pages} pages")
    await app.storage.artifacts.delete(handle.id)
    return Sample(seconds, {"peak MiB": made.peak_mb * 1e6 / 2**20, "MB": made.files[0].size / 1e6})


@asynccontextmanager
async def _working(folder: Path) -> AsyncGenerator[Celeriac]:
    """Run a worker of one process, and yield the same application here."""
    async with fresh_server() as server:
        settings = Settings(broker_url=SecretStr(server.url), data_dir=folder, storage_reserve_bytes=0)
        app = create_app(settings, {"reports": ReportsSettings(reports_scratch=folder / "scratch")})
        variables = {**as_environment(settings), "CELERIAC_REPORTS_SCRATCH": str(folder / "scratch")}
        with (folder / "log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "celeriac", "worker", "--shards", "1"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment_with(variables),
            )
        try:
            yield app
        finally:
            worker.terminate()
            await worker.wait()
            await app.client.aclose()
            app.close()  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)
