"""A worker that makes thousands of reports needs no more memory for the last than for the first."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

import pytest

from celeriac.families.reports.request import ReportRequest
from tests.support.processes import memory_mb
from tests.support.report_shop import ReportShop
from tests.support.workers import Worker

REPORTS = 2_000
AT_ONCE = 4
FORMATS = (["pdf"], ["xlsx"], ["csv"], ["html"], ["parquet"])


def request(number: int) -> ReportRequest:
    """A report that no other has made before: a designed PDF with a chart, or one of the other formats."""
    rows = [[f"2026-{n % 12 + 1:02}-01", ("North", "South")[n % 2], n * number] for n in range(1, 25)]
    return ReportRequest.model_validate(
        {
            "source": {"columns": ["day", "region", "total"], "rows": rows},
            "formats": FORMATS[number % len(FORMATS)],
            "layout": {"title": f"Report {number}"},
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_memory_is_flat_over_two_thousand_reports(
    shop: ReportShop, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    samples: list[dict[str, float]] = []
    open_slots = asyncio.Semaphore(AT_ONCE)

    def sample() -> None:
        children = list(map(memory_mb, worker.children()))
        samples.append({"worker": memory_mb(worker.pid), "largest child": max(children), "all": sum(children)})

    async def make(number: int) -> Any:
        async with open_slots:
            made = await (await shop.reports.job.enqueue(request(number))).result(timeout=600)
            if number % 20 == 0:
                await asyncio.to_thread(sample)
            return made

    made = await asyncio.gather(*(make(number) for number in range(1, REPORTS + 1)))
    assert len(made) == REPORTS
    assert not any(file.reused for outcome in made for file in outcome.files)
    quarter = len(samples) // 4
    told: dict[str, tuple[float, float]] = {}
    for name in samples[0]:
        second, last = (
            median(one[name] for one in part) for part in (samples[quarter : 2 * quarter], samples[-quarter:])
        )
        told[name] = (round(second), round(last))
    with capsys.disabled():
        print(f"\nmemory in MB, second and last quarter of {REPORTS} reports: {told}")
    for name in ("worker", "largest child"):
        second, last = told[name]
        assert last < second * 1.1 + 5, told
