"""A report on a machine whose disk has no room for it."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import StorageFull
from tests.support.report_jobs import ReportJobs


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk. Only root can mount a small one; run this test as root")
    (folder := tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def rows(count: int, width: int) -> dict[str, Any]:
    return {"columns": ["a", "b"], "rows": [[number, f"{number}" * width] for number in range(count)]}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of files that xlsxwriter leaves open
@pytest.mark.parametrize(
    ("form", "count", "width"), [("csv", 5_000, 60), ("csv", 5_000, 100), ("xlsx", 8_000, 25), ("html", 8_000, 25)]
)
async def test_a_full_disk_fails_the_report_and_says_what_to_do(
    small_disk: Path, tmp_path: Path, form: str, count: int, width: int
) -> None:
    await fails(small_disk, tmp_path, rows(count, width), form)


async def test_a_full_disk_does_not_end_the_process_of_a_large_pdf(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "other").write_bytes(bytes(2_080_000))
    await fails(small_disk, tmp_path, rows(10, 1), "pdf", designed_rows=0)


async def fails(disk: Path, folder: Path, source: dict[str, Any], form: str, **layout: Any) -> None:
    here = ReportJobs(folder, own={"reports_scratch": disk / "scratch"})
    job = await here.run(source, form, layout={"chart": "off", **layout})
    assert isinstance(job.error, StorageFull), job.error
    assert str(job.error).startswith(f"the disk of {disk}/scratch is full: make room there, or set CELERIAC_REPORTS_")
    assert await here.names(job) == []
    assert list((disk / "scratch").iterdir()) == []
    job.error = None  # its traceback has them
    gc.collect()
