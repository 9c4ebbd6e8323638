"""Reads what the kernel knows about processes (proc(5)): their children, CPU time, memory."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> set[int]:
    """The ids of a process and of all its living descendants."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found, new = {root}, [root]
    while new:
        new = [child for parent in new for child in children[parent] if child not in found]
        found.update(new)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists, and is no zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def holders(pids: Iterable[int], file: Path) -> set[int]:
    """The ids of those processes that have `file` open."""
    found: set[int] = set()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            if any(fd.readlink() == file for fd in (_PROC / str(pid) / "fd").iterdir()):
                found.add(pid)
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system CPU time of processes (s), including that of children which have ended."""
    return sum(sum(int(ticks) for ticks in fields[11:15]) / _TICKS for pid in pids if (fields := _stat(pid)))


def busy_seconds() -> float:
    """CPU time of all processes of this machine (s)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
        int(ticks) for ticks in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS


def pss_mib(pids: Iterable[int]) -> float:
    """Memory in MiB, with shared pages counted in proportion (PSS), so that the sum over processes is right."""
    return sum(_kib(pid, "smaps_rollup", "Pss") for pid in pids) / 1024


def rss_mib(pids: Iterable[int]) -> float:
    """Resident memory in MiB."""
    return sum(_kib(pid, "status", "VmRSS") for pid in pids) / 1024


def forget_peak(pids: Iterable[int]) -> None:
    """Let the highest resident memory of processes begin anew, at what they have now."""
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            (_PROC / str(pid) / "clear_refs").write_text("5")


def peak_mib(pids: Iterable[int]) -> float:
    """The highest resident memory of each process since `forget_peak`, in MiB, and their sum."""
    return sum(_kib(pid, "status", "VmHWM") for pid in pids) / 1024


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from field 3 on, which is the state. Empty if the process has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _kib(pid: int, file: str, name: str) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        if found := re.search(rf"^{name}:\s+(\d+) kB", (_PROC / str(pid) / file).read_text(), re.MULTILINE):
            return int(found[1])
    return 0
