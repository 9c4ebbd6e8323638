"""Directories for unfinished files. What a killed worker leaves in one is deleted by the next conversion."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from celeriac.core.errors import ConfigurationError, StorageFull

_LOCK = "lock"


@contextmanager
def workspace(base: Path | None, job_id: str) -> Generator[Path]:
    """Make an empty directory for a job, and delete it at the end. First delete those of jobs that were killed.

    Each has a lock, which the kernel gives back when its worker dies, however that happens.
    """
    home = (Path(tempfile.gettempdir()) if base is None else base.absolute()) / f"celeriac-media-{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()  # in a directory that all write, another user may have been first
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{home} belongs to another user: set CELERIAC_MEDIA_WORK_DIR to another place")
    sweep(home)
    folder, lock = _locked(home, job_id)
    with lock:
        work = folder / "work"
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(home: Path, job_id: str) -> tuple[Path, IO[str]]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{job_id[:64]}-", dir=home))
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, lock
        lock.close()  # another job's sweep took it, just before the lock was there


def sweep(home: Path) -> int:
    """Delete the directories whose workers are gone, and say how many."""
    swept = 0
    for folder in home.iterdir():
        with suppress(OSError), (folder / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its worker lives
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise `StorageFull` if the disk of `folder` has less free space than is needed, with the reserve."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageFull(
            f"the disk of {folder} has {free:,} bytes free, and {needed_bytes:,} are needed, with the reserve "
            "(CELERIAC_STORAGE_RESERVE_BYTES): make room there, or set CELERIAC_MEDIA_WORK_DIR to another place"
        )
