"""Writes a large file piece by piece. It appears when its writer is closed, and never if that is dropped."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import obstore
from obstore.exceptions import BaseError, GenericError

from celeriac.core.errors import StorageFull, StorageUnavailable
from celeriac.storage.threads import in_thread

if TYPE_CHECKING:
    from celeriac.storage.location import Location

log = logging.getLogger("celeriac")

#: What is held in memory of a file on its way to a bucket, in bytes. Not below 5 MiB, S3's smallest part.
PART_BYTES = 8 * 1_048_576
#: The same on its way to a folder: so much is written by one call in a thread. The network brings 64 KiB at a time.
_HELD_BYTES = 1_048_576
#: A sweep may delete the empty folder that a file is about to get into.
_TRIES = 100


class PieceWriter(Protocol):
    """What both writers do. They keep the order of what they are asked, also when nobody awaits it any more."""

    path: str

    async def write(self, content: bytes) -> None:
        """Write what follows. It waits while the storage is slower than the writer."""
        ...

    async def close(self) -> None:
        """Publish the file. A file of which a piece could not be written is refused."""
        ...

    async def drop(self) -> None:
        """Leave nothing behind, also if the file was published while nobody awaited that any more.

        It raises nothing: what cannot be deleted now is left to a sweep.
        """
        ...


class _Steps:
    """Takes the steps of a writer in threads, one after the other. None is taken after one has failed."""

    path: str

    def __init__(self, location: Location, path: str) -> None:
        self.path = path
        self._location = location
        self._is_published = False
        self._turn = asyncio.Lock()
        self._step: asyncio.Future[Any] | None = None
        self._fault: BaseException | None = None

    async def close(self) -> None:
        with self._location.naming_faults():
            await self._take(self._publish)

    async def drop(self) -> None:
        await asyncio.shield(self._dropped())

    @abstractmethod
    def _publish(self) -> None: ...

    @abstractmethod
    def _forget(self) -> None: ...

    async def _dropped(self) -> None:
        try:
            await self._next(self._forget)
            if self._is_published:
                await self._location.delete([self.path])
        except (OSError, BaseError, GenericError, StorageFull, StorageUnavailable) as error:
            log.warning("%s could not be deleted (%s); a sweep will", self.path, str(error).partition("\n")[0])

    async def _take(self, step: Callable[..., None], *arguments: Any) -> None:
        await self._next(self._guarded, step, *arguments)

    async def _next(self, step: Callable[..., None], *arguments: Any) -> None:
        async with self._turn:
            if self._step is not None:
                await asyncio.wait([self._step])  # its caller may have been cancelled
            self._step = in_thread(step, *arguments)
            self._step.add_done_callback(_retrieved)
            await asyncio.wait([self._step])  # which does not cancel it when this is cancelled
            self._step.result()

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        if self._fault is not None:
            raise self._fault  # there is a hole in the file
        try:
            step(*arguments)
        except BaseException as fault:
            self._fault = fault
            raise


class FolderWriter(_Steps):
    """Writes beside the file's name, and renames.

    obstore would keep the last 16 MiB in memory, where no reserve of the disk counts them. Told to stop, it would go on
    for a moment, and its file use the disk, though deleted.
    """

    def __init__(self, location: Location, folder: Path, path: str) -> None:
        super().__init__(location, path)
        self._folder = folder
        self._goal = folder / path
        # As obstore names them, so that its lists pass them over. Each writer has a name of its own.
        self._aside = self._goal.with_name(f"{self._goal.name}#{secrets.randbelow(10**12)}")
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._file: IO[bytes] | None = None

    async def write(self, content: bytes) -> None:
        self._location.check_room(self._held_bytes + len(content))
        self._held.append(content)
        self._held_bytes += len(content)
        if self._held_bytes >= _HELD_BYTES:
            self._held_bytes = 0
            with self._location.naming_faults():
                await self._take(self._write)

    async def drop(self) -> None:
        self._held.clear()
        await super().drop()

    def _write(self) -> None:
        """Write what is held. A step that was cancelled before it began has left it there."""
        if self._file is None:
            self._file = self._opened()
        while self._held:
            self._file.write(self._held.popleft())

    def _publish(self) -> None:
        self._write()
        assert self._file is not None  # `_write` has opened it
        self._file.flush()
        os.utime(self._file.fileno())  # a sweep takes no new file for old, though its last piece came long ago
        os.fsync(self._file.fileno())  # before there is a record of it: see decision 17
        self._file.close()
        try:
            self._aside.replace(self._goal)
        except FileNotFoundError:
            raise OSError(f"{self._aside.name} was deleted while it was written") from None
        self._is_published = True
        for folder in self._goal.relative_to(self._folder).parents:
            _flush_folder(self._folder / folder)

    def _forget(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):  # a full disk does not take what it still has
            self._file.close()
        self._aside.unlink(missing_ok=True)

    def _opened(self) -> IO[bytes]:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError, FileExistsError):
                self._location.make_folder()
                self._aside.parent.mkdir(parents=True, exist_ok=True)
                return self._aside.open("xb")
        raise OSError(f"the folder {self._aside.parent} cannot be made")


class BucketWriter(_Steps):
    """Sends parts to a bucket, which shows the object when the last has come."""

    _writer: Any = None

    async def write(self, content: bytes) -> None:
        with self._location.naming_faults():
            await self._take(self._send, content)

    def _send(self, content: bytes) -> None:
        if self._writer is None:
            store = self._location.store()
            self._writer = obstore.open_writer(store, self.path, buffer_size=PART_BYTES, max_concurrency=2)
        self._writer.write(content)

    def _publish(self) -> None:
        if self._writer is None:
            obstore.put(self._location.store(), self.path, b"")
        else:
            self._writer.close()
        self._is_published = True

    def _forget(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):  # it is closed, or closing it has failed
                writer.__exit__(GeneratorExit, GeneratorExit(), None)


def _flush_folder(folder: Path) -> None:
    """Have the disk know the names in a folder. Some shares of other machines have no such thing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _retrieved(step: asyncio.Future[Any]) -> None:
    """Tell asyncio that the fault of a step is known, though its caller may have gone."""
    if not step.cancelled():
        step.exception()
