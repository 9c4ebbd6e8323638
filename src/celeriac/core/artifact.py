"""What a job sees of the files that it makes. The storage (`celeriac.storage`) is what keeps them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a job has made. It is complete, and its content never changes.

    Attributes:
        job_id: the job.
        name: the file's name, as the job chose it.
        size: in bytes.
        content_type: its media type, found by its first bytes.
        sha256: the digest of its content, in hexadecimal digits.
        created_at: when it was complete (UTC).
        path: where its content is kept in the storage.
    """

    job_id: str
    name: str
    size: int
    content_type: str
    sha256: str
    created_at: datetime
    path: str


class AsyncFile(Protocol):
    """A file that an `async def` job writes."""

    async def write(self, piece: bytes) -> None:
        """Write what follows.

        Raises:
            FileTooLarge: it would be larger than it may be.
            StorageFull, StorageUnavailable: it cannot be kept.
        """
        ...

    async def write_from(self, path: str | PathLike[str]) -> None:
        """Write the content of a file of this machine. Raises as `write` does."""
        ...


class BlockingFile(Protocol):
    """A file that a `def` job writes."""

    def write(self, piece: bytes) -> None:
        """Write what follows. Raises as `AsyncFile.write` does."""
        ...

    def write_from(self, path: str | PathLike[str]) -> None:
        """Write the content of a file of this machine. Raises as `write` does."""
        ...


class ArtifactFile(AbstractAsyncContextManager[AsyncFile], AbstractContextManager[BlockingFile], Protocol):
    """A file that is an artifact when the block ends, and nothing if it ends with an exception."""

    @property
    def artifact(self) -> Artifact:
        """What it has become.

        Raises:
            RuntimeError: it is not complete yet.
        """
        ...


def check_bytes(piece: object) -> None:
    """Refuse what a file cannot be written of, with what to do instead.

    Raises:
        TypeError: it is no bytes.
    """
    if not isinstance(piece, bytes | bytearray | memoryview):
        advice = "; encode the text: `write(text.encode())`" if isinstance(piece, str) else ""
        raise TypeError(f"a file is written in bytes, not {type(piece).__name__}{advice}")


def check_no_loop(name: str) -> None:
    """Refuse a blocking file in an `async def` job: all other jobs of its process would wait for it.

    Raises:
        RuntimeError: a loop runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"in an `async def` job, use `async with job.artifact({name!r})` and `await file.write(...)`")


class BecomingArtifact:
    """What every `ArtifactFile` remembers: its name, and in `_made` what it has become."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: Artifact | None = None

    @property
    def artifact(self) -> Artifact:
        """What the file has become.

        Raises:
            RuntimeError: it is not complete yet.
        """
        if self._made is None:
            raise RuntimeError(f"{self._name} is no artifact before its block has ended")
        return self._made
