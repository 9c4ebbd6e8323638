"""A lock on a file (flock). The system releases it when its holder ends, even by a kill."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

_POLL_S = 0.02


class FileLock:
    """An exclusive lock on `path`, held from a successful `acquire` to `release`. The file contains the holder's pid.

    The lock belongs to the open file, so a child that inherits `fileno()` keeps it after this process has ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free. Return whether this process has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        self.name_holder(os.getpid())
        return True

    async def acquire_within(self, seconds: float) -> bool:
        """Take the lock as soon as it is free, or give up after so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.acquire():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def name_holder(self, pid: int) -> None:
        """Write `pid` into the file, for processes that find the lock taken."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), f"{pid}\n".encode(), 0)

    def holder(self) -> int | None:
        """Read the pid in the file: the current holder's if the lock is taken, else the last one's."""
        try:
            return int(self._path.read_text())
        except (OSError, ValueError):
            return None

    def fileno(self) -> int:
        """Return the locked file's descriptor."""
        if self._fd is None:
            raise ValueError("the lock is not held")
        return self._fd

    def release(self) -> None:
        """Close the file. This frees the lock unless a child has inherited it."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
