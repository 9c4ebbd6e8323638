"""A file on its way into the storage: counted, digested and sniffed while it passes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from celeriac.core.errors import FileTooLarge
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

    @property
    def size(self) -> int:
        """How many bytes were written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """The digest of what was written so far, in hexadecimal digits; empty if it is not computed."""
        return self._digest.hexdigest() if self._digest else ""

    async def write(self, piece: bytes) -> None:
        """Write what follows.

        Raises:
            FileTooLarge: it would be larger than it may be.
            StorageFull, StorageUnavailable: it cannot be kept.
        """
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

    async def close(self) -> dict[str, Any]:
        """Publish the file, and say what it is: `name`, `size`, `content_type`, `sha256` and `path`.

        If that fails, nothing is left behind.
        """
        try:
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

    async def drop(self) -> None:
        """Leave nothing behind."""
        await self._writer.drop()
