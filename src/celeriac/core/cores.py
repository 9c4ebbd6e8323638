"""How many cores this process may use: not those of the machine, if it has been given fewer."""

from __future__ import annotations

import math
import os
from pathlib import Path

#: Where a container sees the quota of processor time it has been given.
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def available_cores(groups: Path = _CONTROL_GROUPS) -> int:
    """The cores that the scheduler lets this process run on, and that its container's quota pays for; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(groups))))


def _quota(groups: Path) -> float:
    """Seconds of processor time for each second; infinite if nothing limits it."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # versions 2 and 1
        try:
            quota, period = " ".join((groups / file).read_text() for file in files).split()
            return int(quota) / int(period) if int(quota) > 0 else math.inf
        except (OSError, ValueError):  # not of this version, or it says `max`
            continue
    return math.inf
