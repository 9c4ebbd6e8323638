"""A file on its way into the storage: counted, digested and sniffed while it passes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from celeriac.core.errors import CeleriacError, FileTooLarge
from celeriac.storage.sniffing import HEAD_BYTES, sniff
from celeriac.storage.writers import PieceWriter

#: The digest of a larger piece is computed in a thread: a megabyte takes a millisecond or two.
_IN_LOOP_BYTES = 262_144


class Content:
    """What one writer writes. Nobody sees it before `close`, and nobody ever after `drop`."""

    def __init__(self, writer: PieceWriter, name: str, *, limit: int, setting: str = "", digest: bool = True) -> None:
        """`limit` is the largest size in bytes, and `setting` the variable that says so.

        Without `digest`, its SHA-256 is not computed.
        """
        self.name = name
        self._writer = writer
        self._limit = limit
        self._setting = f" ({setting})" if setting else ""
        self._size = 0
        self._head = b""
        self._digest = hashlib.sha256() if digest else None
        self._turn = asyncio.Lock()
        self._fault: BaseException | None = None
        self._is_closed = False

    @property
    def size(self) -> int:
        """How many bytes were written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """The digest of what was written so far, in hexadecimal digits; empty if it is not computed."""
        return self._digest.hexdigest() if self._digest else ""

    async def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Write what follows. Pieces that are written at the same time follow one another as they were given.

        Raises:
            FileTooLarge: it would be larger than it may be.
            StorageFull, StorageUnavailable: it cannot be kept.
            RuntimeError: the file is closed, or lacks an earlier piece.
        """
        piece = bytes(piece)  # its caller may use the memory again; what has elements of several bytes counts in bytes
        try:
            async with self._turn:
                self._check_open()
                await self._write(piece)
        except BaseException as fault:  # also if it was cancelled while it waited for its turn
            self._fault = self._fault or fault
            raise

    async def close(self) -> dict[str, Any]:
        """Publish the file, and say what it is: `name`, `size`, `content_type`, `sha256` and `path`.

        If that fails, or if a piece of it could not be written, nothing is left behind.
        """
        try:
            async with self._turn:  # after the pieces that are being written
                self._check_open()
                self._is_closed = True
                await self._writer.close()
        except BaseException:
            await asyncio.shield(self.drop())
            raise
        return {
            "name": self.name,
            "size": self._size,
            "content_type": sniff(self._head, self.name),
            "sha256": self.sha256,
            "path": self._writer.path,
        }

    async def keep(self) -> None:
        """Publish what came before the piece that could not be written, if one could not."""
        self._is_closed = True
        try:
            await self._writer.close()
        except BaseException:
            await asyncio.shield(self.drop())
            raise

    async def drop(self) -> None:
        """Leave nothing behind."""
        self._is_closed = True
        await self._writer.drop()

    async def _write(self, piece: bytes) -> None:
        if self._size + len(piece) > self._limit:
            left = f"{max(0, self._limit):,} bytes that are left for it"
            raise FileTooLarge(f"{self.name} is larger than the {left}{self._setting}")
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        if self._digest and len(piece) > _IN_LOOP_BYTES:
            await asyncio.gather(self._writer.write(piece), asyncio.to_thread(self._digest.update, piece))
        else:
            if self._digest:
                self._digest.update(piece)
            await self._writer.write(piece)
        self._size += len(piece)

    def _check_open(self) -> None:
        """Refuse a file that is closed, or lacks a piece, also if the job that wrote it has caught the error."""
        if isinstance(self._fault, CeleriacError):
            raise self._fault
        if self._fault is not None:
            raise RuntimeError(
                f"a piece of {self.name} was not written ({type(self._fault).__name__})"
            ) from self._fault
        if self._is_closed:
            raise RuntimeError(f"{self.name} is closed: write to it inside its block")
