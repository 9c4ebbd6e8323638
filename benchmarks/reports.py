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
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
_JOB = "designed: celeriac, a job"
_LONGEST_S = 120.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("reports", f"{_ROWS:,} rows, and a designed report of two pages", "s", bases=("plain",))
    count = _QUICK if options.quick else _ROWS
    rows = [f"{kind}: {system}" for kind in ("pdf", "xlsx", "csv", "designed") for system in ("plain", "celeriac")]
    bench.notes.append("`plain` is reportlab, xlsxwriter (`constant_memory`), the csv module, and `typst.compile`.")
    with TemporaryDirectory(prefix="celeriac-bench-") as folder:
        async with _working(Path(folder)) as app:

            async def measure(name: str) -> Sample:
                return await (_job(app) if name == _JOB else _process(name, count))

            return await rounds(bench, options, [*rows, _JOB], measure)


async def _process(name: str, count: int) -> Sample:
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


async def _job(app: Celeriac) -> Sample:
    """Have the worker make reports one after another: the median of some, each of its own bytes."""
    orders = Orders(_TWO_PAGES)
    request: dict[str, Any] = {
        "source": {
            "rows": [[str(cell) if hasattr(cell, "year") else cell for cell in row] for row in orders.rows()],
            "columns": [column.name for column in orders.columns],
        },
        "columns": {"revenue": {"currency": "EUR"}, "margin": {"kind": "percent"}},
    }
    taken: list[float] = []
    peak = size = 0.0
    for number in range(REPEATS + 1):  # the first one warms the process of the job
        layout = {"title": f"Orders {number}", "source": "shop", "created_at": MOMENT.isoformat()}
        began = time.perf_counter()
        asked = ReportRequest.model_validate(request | {"layout": layout, "force": True})
        handle = await app.family(ReportsFamily).job.enqueue(asked)
        try:
            made = await handle.result(timeout=_LONGEST_S)
        except JobUnsuccessful as error:
            raise RunFailed(str(error)) from None
        taken.append(time.perf_counter() - began)
        if made.files[0].pages != 2:
            raise RunFailed(f"the report has {made.files[0].pages} pages")
        peak, size = made.peak_mb * 1e6 / 2**20, made.files[0].size / 1e6
        await app.storage.artifacts.delete(handle.id)
    return Sample(statistics.median(taken[1:]), {"peak MiB": peak, "MB": size})


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
