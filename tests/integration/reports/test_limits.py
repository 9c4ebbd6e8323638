"""The memory of a process that makes reports."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_LARGE = """
import subprocess, sys
kept = bytearray(400_000_000)
kept[::4096] = bytes(len(kept[::4096]))
child = "from celeriac.families.reports.limits import peak_mb; print(peak_mb())"
print(subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True).stdout)
"""


def test_the_peak_of_memory_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    told = subprocess.run([sys.executable, "-c", _LARGE], check=True, capture_output=True, text=True).stdout
    assert 5 < float(told) < 300
