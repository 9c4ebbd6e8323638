"""The files of jobs that run in a test: kept in memory, for the test to look into."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType

from celeriac.core.artifact import Artifact, BecomingArtifact, check_bytes, check_no_loop
from celeriac.storage.names import checked_name
from celeriac.storage.sniffing import HEAD_BYTES, sniff


class MemoryFile(BecomingArtifact):
    """See `celeriac.core.artifact.ArtifactFile`. Its content goes into `kept`, by its name."""

    def __init__(self, kept: dict[str, bytes], job_id: str, name: str) -> None:
        super().__init__(name)
        self._kept = kept
        self._job_id = job_id
        self._content = bytearray()

    def __enter__(self) -> _BlockingFile:
        check_no_loop(self._name)
        return self._open()

    def _open(self) -> _BlockingFile:
        self._name = checked_name(self._name)
        self._content.clear()
        return _BlockingFile(self._content)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is not None:
            return
        content = self._kept[self._name] = bytes(self._content)
        self._made = Artifact(
            job_id=self._job_id,
            name=self._name,
            size=len(content),
            content_type=sniff(content[:HEAD_BYTES], self._name),
            sha256=hashlib.sha256(content).hexdigest(),
            created_at=datetime.now(UTC),
            path="",
        )

    async def __aenter__(self) -> _AsyncFile:
        return _AsyncFile(self._open())

    async def __aexit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        self.__exit__(kind, error, traceback)


class _BlockingFile:
    def __init__(self, content: bytearray) -> None:
        self._content = content

    def write(self, piece: bytes) -> None:
        check_bytes(piece)
        self._content += piece

    def write_from(self, path: str | PathLike[str]) -> None:
        self._content += Path(path).read_bytes()


class _AsyncFile:
    def __init__(self, file: _BlockingFile) -> None:
        self._file = file

    async def write(self, piece: bytes) -> None:
        self._file.write(piece)

    async def write_from(self, path: str | PathLike[str]) -> None:
        self._file.write_from(path)
