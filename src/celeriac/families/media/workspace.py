"""Directories for unfinished files. What a killed worker leaves in one is deleted by the next conversion."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO

from celeriac.core.errors import ConfigurationError, StorageFull

_LOCK = "lock"


#: Directories that a look at a file deletes: its caller waits.
_FEW = 10


@asynccontextmanager
async def workspace_in_thread(base: Path | None, job_id: str, *, hurry: bool = False) -> AsyncGenerator[Path]:
    """The same as `workspace`, without blocking the event loop. In a `hurry` it deletes a few of those left only."""
    own = workspace(base, job_id, at_most=_FEW if hurry else None)
    entering = asyncio.create_task(asyncio.to_thread(own.__enter__))
    try:
        work = await asyncio.shield(entering)
    except asyncio.CancelledError:  # the thread goes on, and the caller does not wait for it
        entering.add_done_callback(lambda done: done.exception() or _leave_in_thread(own))
        raise
    try:
        yield work
    finally:
        await _leave_in_thread(own)


def _leave_in_thread(own: AbstractContextManager[Path]) -> asyncio.Future[bool | None]:
    return asyncio.get_running_loop().run_in_executor(None, own.__exit__, None, None, None)


@contextmanager
def workspace(base: Path | None, job_id: str, *, at_most: int | None = None) -> Generator[Path]:
    """Make an empty directory for a job, and delete it at the end. First delete (at most so many) of killed jobs.

    Each has a lock, which the kernel gives back when its worker dies, however that happens.
    """
    home = (Path(tempfile.gettempdir()) if base is None else base.absolute()) / f"celeriac-media-{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()  # in a directory that all write, another user may have been first
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{home} belongs to another user: set CELERIAC_MEDIA_WORK_DIR to another place")
    sweep(home, at_most)
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
        try:
            lock = (folder / _LOCK).open("a")
        except FileNotFoundError:  # another job's sweep took it, as it had no lock yet
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, lock
        lock.close()  # it took it now


def sweep(home: Path, at_most: int | None = None) -> int:
    """Look at (at most so many) directories. Delete those whose workers are gone, and say how many."""
    swept = 0
    for folder in islice(home.iterdir(), at_most):
        # Without a lock, its worker died when it began or deleted it. One that lives makes another directory.
        with suppress(OSError), (folder / _LOCK).open("a") as lock:
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
