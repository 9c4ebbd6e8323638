"""Writes a large file piece by piece. It appears when its writer is closed, and never if that is dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Protocol

import obstore

from celeriac.storage.threads import in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from celeriac.storage.location import Location

#: What is held in memory of a file on its way to a bucket, in bytes. Not below 5 MiB, S3's smallest part.
PART_BYTES = 8 * 1_048_576
#: The same on its way to a folder: so much is written by one call in a thread. The network brings 64 KiB at a time.
_HELD_BYTES = 1_048_576


class PieceWriter(Protocol):
    """What both writers do. An action that nobody awaits any more ends before the next begins."""

    path: str

    async def write(self, content: bytes) -> None:
        """Write what follows. It waits while the storage is slower than the writer."""
        ...

    async def close(self) -> None:
        """Publish the file."""
        ...

    async def drop(self) -> None:
        """Leave nothing behind of a file that is not published."""
        ...


class FolderWriter:
    """Writes beside the file's name, and renames.

    obstore would keep the last 16 MiB in memory, where no reserve of the disk counts them. Told to stop, it would go on
    for a moment, and its file use the disk, though deleted.
    """

    def __init__(self, location: Location, folder: Path, path: str) -> None:
        self.path = path
        self._location = location
        self._goal = folder / path
        self._aside = self._goal.with_name(f"{self._goal.name}#1")  # as obstore names them: its lists pass them over
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._has_begun = False
        self._file: IO[bytes] | None = None
        self._fault: OSError | None = None
        self._lock = threading.Lock()

    async def write(self, content: bytes) -> None:
        self._location.check_room(self._held_bytes + len(content))
        self._held.append(bytes(content))
        self._held_bytes += len(content)
        if self._held_bytes >= _HELD_BYTES:
            await self._write_held()

    async def close(self) -> None:
        if not self._has_begun:
            await self._location.put(self.path, b"".join(self._held))
            return
        await self._write_held()
        with self._location.naming_faults():
            await in_thread(self._publish)

    async def drop(self) -> None:
        self._held = []
        with self._location.naming_faults():
            await asyncio.shield(in_thread(self._forget))

    async def _write_held(self) -> None:
        held, self._held = self._held, []
        self._held_bytes, self._has_begun = 0, True
        with self._location.naming_faults():
            await in_thread(self._write, held)

    def _write(self, pieces: list[bytes]) -> None:
        with self._lock:
            try:
                self._file = self._file or self._opened()
                self._file.writelines(pieces)
            except OSError as error:
                self._fault = error
                raise

    def _publish(self) -> None:
        with self._lock:
            if self._fault is not None:
                raise self._fault  # there is a hole in it
            assert self._file is not None  # `_write` has opened it
            self._file.close()
            self._aside.replace(self._goal)

    def _forget(self) -> None:
        with self._lock:
            if self._file is None:
                return
            with suppress(OSError):  # a full disk does not take what it still has
                self._file.close()
            self._aside.unlink(missing_ok=True)

    def _opened(self) -> IO[bytes]:
        while True:
            self._aside.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # a sweep has just deleted the empty folder
                return self._aside.open("xb")


class BucketWriter:
    """Sends parts to a bucket, which shows the object when the last has come."""

    def __init__(self, location: Location, path: str) -> None:
        self.path = path
        self._location = location
        self._writer: Any = None
        self._lock = threading.Lock()

    async def write(self, content: bytes) -> None:
        with self._location.naming_faults():
            if self._writer is None:
                store = self._location.store()
                self._writer = obstore.open_writer(store, self.path, buffer_size=PART_BYTES, max_concurrency=2)
            await in_thread(self._alone, self._writer.write, content)

    async def close(self) -> None:
        if self._writer is None:
            await self._location.put(self.path, b"")
            return
        with self._location.naming_faults():
            await in_thread(self._alone, self._writer.close)

    async def drop(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        with suppress(OSError):  # closing it has failed
            await asyncio.shield(in_thread(self._alone, writer.__exit__, GeneratorExit, GeneratorExit(), None))

    def _alone(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call the writer after what it still does for one who awaits that no more."""
        with self._lock:
            call(*arguments)
