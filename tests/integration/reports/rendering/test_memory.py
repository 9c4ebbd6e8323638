"""Rendering keeps no memory: neither of one report for the next, nor of the rows of a large one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_MANY = """
import json, sys
from pathlib import Path
from celeriac.families.reports.rendering import render
from tests.support.reports import layout, sales

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024

table, path, seen = sales(11, ("North", "South", "East", "West")), Path(sys.argv[1]), {}
for number in range(1, int(sys.argv[2]) + 1):
    to = layout(title=f"Report {number}", chart="auto", theme={"colour": f"#{number * 997 % 0xffffff:06x}"})
    render(table, to, "pdf", path, progress=lambda done, total: None)
    if number in (200, 500, 1000, 1500, 2000):
        seen[number] = resident()
print(json.dumps(seen))
"""

_LARGE = """
import json, sys
from pathlib import Path
from benchmarks.support.report_runs import Orders
from celeriac.families.reports.limits import peak_mb
from celeriac.families.reports.rendering import render
from tests.support.reports import layout

render(Orders(int(sys.argv[3])), layout(), sys.argv[2], Path(sys.argv[1]), progress=lambda done, total: None)
print(json.dumps(round(peak_mb())))
"""


def told(code: str, *arguments: object) -> object:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.timeout(1_800)
def test_memory_is_flat_over_two_thousand_designed_reports(tmp_path: object) -> None:
    seen = told(_MANY, f"{tmp_path}/r.pdf", 2_000)
    assert isinstance(seen, dict)
    assert seen["2000"] < seen["200"] + 40, seen


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "limit_mb"), [("xlsx", 100), ("csv", 100), ("parquet", 200), ("html", 250), ("pdf", 500)]
)
def test_a_hundred_thousand_rows_need_little_memory(kind: str, limit_mb: int, tmp_path: object) -> None:
    peak = told(_LARGE, f"{tmp_path}/r", kind, 100_000)
    assert isinstance(peak, int)
    assert peak < limit_mb
