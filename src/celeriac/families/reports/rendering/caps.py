"""Limits of the operating system for the process that renders: a template that runs away ends with it.

They hold for the rest of the process, so set them in one that renders and does nothing else.
"""

from __future__ import annotations

import re
import resource
from pathlib import Path

_MB = 1 << 20


def limit_memory(more_mb: int) -> None:
    """Let this process write to that much memory more than it has now (Linux). A report with a chart needs some 800.

    Beyond, Python raises MemoryError, and Typst and Vega end the process. The limit is RLIMIT_DATA and not RLIMIT_AS:
    Vega's engine reserves 64 GB of addresses that it never writes to.
    """
    found = re.search(r"^VmData:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    now = int(found[1]) * 1_024 if found else 0
    _lower(resource.RLIMIT_DATA, now + more_mb * _MB)


def limit_cpu(seconds: int) -> None:
    """Let this process compute for that many seconds more. Beyond, the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds + 1)


def limit_file(size_mb: int) -> None:
    """Let this process write files of at most that size. Beyond, writing fails with an OSError."""
    _lower(resource.RLIMIT_FSIZE, size_mb * _MB)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, hard))
