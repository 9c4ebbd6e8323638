"""What holds a report within its limits: a folder of its own, and a bound to its memory.

A library that gets no memory may end the process instead of raising. So the folder says, until the report is made, that
somebody works in it. The next attempt finds that, and fails with the cause, where another crash would follow.
"""

from __future__ import annotations

import os
import resource
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from celeriac.core.errors import ConfigurationError

_WORKING = "working"
#: Folders of killed processes that nobody came back to are deleted after two days; a report takes one at most.
_FORGOTTEN_S = 2 * 86_400.0
_MEGABYTE = 1_000_000


@contextmanager
def memory_limit(megabytes: int) -> Generator[None]:
    """Let this process use so much more memory than now. Beyond that, Python raises MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_space() + megabytes * _MEGABYTE
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    with suppress(ValueError, OSError):  # macOS knows this limit, and does not take it
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_mb() -> float:
    """Return the most memory that this process has used, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * 1024 / _MEGABYTE, 1)  # kilobytes on Linux


class Workplace:
    """A folder for one report: `with Workplace(...) as folder`. What a killed process left in it is deleted."""

    def __init__(self, base: Path | None, job_id: str, attempt: int) -> None:
        self._base = base or Path(tempfile.gettempdir()) / f"celeriac-reports-{os.geteuid()}"
        self._folder = self._base / job_id.replace(":", "_")
        self._attempt = attempt
        self.crashed = False

    def __enter__(self) -> Path:
        _own_folder(self._base)
        _forget(self._base)
        working = self._folder / _WORKING
        with suppress(OSError, ValueError):  # the same attempt began again: its worker was killed, and not the report's
            self.crashed = int(working.read_text()) < self._attempt
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        working.write_text(str(self._attempt))
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _own_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigurationError(f"CELERIAC_REPORTS_SCRATCH: {path} is not a folder of this user; name another")
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)


def _forget(base: Path) -> None:
    horizon = time.time() - _FORGOTTEN_S
    for entry in base.iterdir():
        with suppress(OSError):
            if entry.stat().st_mtime < horizon:
                shutil.rmtree(entry, ignore_errors=True)
