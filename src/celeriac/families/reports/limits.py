"""What holds a report within its limits: a folder of its own, and a bound to its memory.

A library that gets no memory may end the process instead of raising. So a file in the folder says which attempt works
there, until the report is made. The next attempt finds it, and fails with the cause, where another crash would follow.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from celeriac.core.errors import ConfigurationError

_WORKING = "working"
#: How long it is remembered that an attempt has crashed: the next one follows within seconds.
_REMEMBERED_S = 3600.0
_MEGABYTE = 1_000_000


@contextmanager
def memory_limit(megabytes: int) -> Generator[None]:
    """Let this process use so much more memory than now. Beyond that, Python raises MemoryError.

    It limits what can be written (RLIMIT_DATA), and not all addresses (RLIMIT_AS): the engine that draws charts
    reserves 34 GB of these, and never touches most of them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_bytes() + megabytes * _MEGABYTE
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    with suppress(ValueError, OSError):  # macOS knows this limit, and does not take it
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Return what counts towards the limit already: the field `data` of proc_pid_statm(5), in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_mb() -> float:
    """Return the most memory that this process has used, in megabytes.

    What getrusage(2) says of it is not asked on Linux: a program has it from the process that has started it.
    """
    return round(_peak_bytes() / _MEGABYTE, 1)


def _peak_bytes() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Workplace:
    """A folder for the files of one report while it is made.

    Attributes:
        folder: the folder, inside the block.
        has_crashed: whether the process of an earlier attempt ended while it worked here.
    """

    def __init__(self, base: Path | None, job_id: str, attempt: int) -> None:
        self._base = _base_of(base)
        self.folder = self._base / job_id.replace(":", "_")
        self._attempt = attempt
        self._lock: IO[str] | None = None
        self.has_crashed = False

    def __enter__(self) -> Workplace:
        _own_folder(self._base)
        with _alone(self._base):
            _clear(self._base)
            with suppress(OSError, ValueError):  # if the same attempt runs again, its worker was killed, and no report
                self.has_crashed = int((self.folder / _WORKING).read_text()) < self._attempt
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(mode=0o700)
            self._lock = (self.folder / _WORKING).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._lock.write(str(self._attempt))
        self._lock.flush()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def clear_scratch(base: Path | None) -> None:
    """Delete what reports have left whose processes, or whose machine, were killed."""
    place = _base_of(base)
    with suppress(OSError):  # mostly it is not there yet
        if place.lstat().st_uid == os.geteuid():
            with _alone(place):
                _clear(place)


def _base_of(base: Path | None) -> Path:
    return base or Path(tempfile.gettempdir()) / f"celeriac-reports-{os.geteuid()}"


@contextmanager
def _alone(base: Path) -> Generator[None]:
    """Keep other processes from making and clearing folders: one would clear what another has just made anew."""
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _own_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigurationError(f"CELERIAC_REPORTS_SCRATCH: {path} is not a folder of this user; name another")
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)


def _clear(base: Path) -> None:
    """Delete what killed processes have left. A running one holds a lock on its file."""
    for folder in list(base.iterdir()):
        with suppress(OSError), (folder / _WORKING).open() as working:
            fcntl.flock(working, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.name != _WORKING:
                    Path(entry).unlink()
            if time.time() - os.fstat(working.fileno()).st_mtime > _REMEMBERED_S:
                shutil.rmtree(folder, ignore_errors=True)
