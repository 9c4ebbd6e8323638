"""The folder of archives, and files in it: private, never through links, on disk before anybody relies on them."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from celeriac.core.errors import StorageFull, StorageUnavailable
from celeriac.core.files import tighten, writable_for_others
from celeriac.families.cleanup.errors import ArchiveRefused

T = TypeVar("T")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SETTING = "CELERIAC_CLEANUP_ARCHIVES"


def prepare_folder(folder: Path) -> None:
    """Create the folder of archives if need be, and make sure that only its owner can write to it.

    Its parent has to exist: a missing one is more likely a disk that is not mounted.

    Raises:
        StorageUnavailable: it cannot be used. The message says why.
        StorageFull: there is no room for it.
    """
    with translated(folder):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if not folder.is_dir():
            raise StorageUnavailable(str(folder), f"it is no folder; {_SETTING} names it")
        if folder.stat().st_uid == os.geteuid():
            tighten(folder)
        if writable_for_others(folder):
            raise StorageUnavailable(
                str(folder),
                f"others can write to it, so that they could replace archives: chmod go-w, or set {_SETTING}",
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StorageUnavailable(str(folder), f"it is not writable; {_SETTING} names it")


@contextmanager
def translated(place: Path) -> Generator[None]:
    """Raise what goes wrong with a file as an error that names the place.

    Raises:
        StorageFull: the disk is full.
        StorageUnavailable: for any other reason.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageFull(f"there is no room for {place}: {reason}. Make room, or set {_SETTING}") from error
        raise StorageUnavailable(str(place), f"{reason}; {_SETTING} names the folder") from error


def checked_name(name: str) -> str:
    """Return the name of an archive if it can be a file's.

    Raises:
        ArchiveRefused: it cannot.
    """
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum()) or name.startswith((".", "-")) or len(name) > 180:
        raise ArchiveRefused(f"{name[:200]!r} is no name for an archive: use letters, digits, '-', '_' and '.'")
    return name


def create(path: Path) -> int:
    """Create a private file that did not exist, and open it for reading and writing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def reopen(path: Path, *, write: bool = False) -> int:
    """Open a file that exists. Refuse links, and what is no file.

    Raises:
        OSError: it cannot be opened.
        StorageUnavailable: it is no regular file.
    """
    opened = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise StorageUnavailable(str(path), "it is no regular file")
    return opened


def lock(opened: int) -> bool:
    """Keep a file for this process until it is closed. Return False if another process has it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_all(opened: int, data: bytes, offset: int) -> None:
    """Write at that offset, and have it on disk when this returns."""
    view = memoryview(data)
    while view:
        written = os.pwrite(opened, view, offset)
        view, offset = view[written:], offset + written
    os.fsync(opened)


def read_back(path: Path, opened: int, offset: int, length: int) -> bytes:
    """Read what was written, through the path and from the disk.

    Raises:
        StorageUnavailable: another file is at the path.
    """
    again = reopen(path)
    try:
        if not os.path.sameopenfile(opened, again):
            raise StorageUnavailable(str(path), "somebody has replaced the file while it was written")
        if hasattr(os, "posix_fadvise"):  # what the system keeps in memory says nothing about the disk
            os.posix_fadvise(again, offset, length, os.POSIX_FADV_DONTNEED)
        return read_at(again, offset, length)
    finally:
        os.close(again)


def read_at(opened: int, offset: int, length: int) -> bytes:
    """Read that many bytes, or those that there are."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(opened, min(length, 1 << 24), offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


async def in_thread(work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Call `work` in a thread. If this is cancelled, wait for it to end, and undo what it has done.

    A thread cannot be stopped. Left alone, it would write while others believe that nobody does.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if undo is not None and task.exception() is None:
            await asyncio.to_thread(undo, task.result())
        raise


def sync_folder(folder: Path) -> None:
    """Have the names of new files on disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def replace_file(path: Path, data: bytes) -> None:
    """Write a private file in one step: after a power cut there is the old one or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    opened = create(draft)
    try:
        write_all(opened, data, 0)
    finally:
        os.close(opened)
    draft.replace(path)
    sync_folder(path.parent)
