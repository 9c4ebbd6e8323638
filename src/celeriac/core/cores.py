"""Counts the cores that this process may use, which can be fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

#: The directory that shows a container its quota of processor time.
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def available_cores(groups: Path = _CONTROL_GROUPS) -> int:
    """Count the cores that the scheduler allows this process and its container's quota covers; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(groups))))


def _quota(groups: Path) -> float:
    """Return the seconds of processor time for each second; infinite without a limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # versions 2 and 1
        try:
            quota, period = " ".join((groups / file).read_text() for file in files).split()
            return int(quota) / int(period) if int(quota) > 0 else math.inf
        except (OSError, ValueError):  # another version, or the quota is `max`
            continue
    return math.inf
