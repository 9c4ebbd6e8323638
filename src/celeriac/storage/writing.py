"""The file that a job writes, on an event loop or without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from celeriac.core.artifact import BecomingArtifact, check_bytes, check_no_loop
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.content import Content

T = TypeVar("T")

_PIECE_BYTES = 1_048_576


class StoredFile(BecomingArtifact):
    """See `celeriac.core.artifact.ArtifactFile`."""

    def __init__(self, artifacts: Callable[[], Artifacts], job_id: str, name: str) -> None:
        """`artifacts` is asked when the file is opened: only jobs that write need the storage's packages."""
        super().__init__(name)
        self._artifacts = artifacts
        self._job_id = job_id
        self._content: Content | None = None
        self._runner: asyncio.Runner | None = None

    async def __aenter__(self) -> _AsyncFile:
        self._content = await self._artifacts().begin(self._job_id, self._name)
        return _AsyncFile(self._content)

    async def __aexit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        assert self._content is not None
        if kind is not None:
            await asyncio.shield(self._content.drop())
            return
        self._made = await self._artifacts().publish(self._job_id, self._content)

    def __enter__(self) -> _BlockingFile:
        check_no_loop(self._name)
        self._runner = asyncio.Runner()
        try:
            return _BlockingFile(self._run(self.__aenter__()), self._run)
        except BaseException:
            self._runner.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        assert self._runner is not None
        with self._runner:
            self._run(self.__aexit__(kind, error, traceback))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None
        return self._runner.run(coroutine)


class _AsyncFile:
    def __init__(self, content: Content) -> None:
        self._content = content

    async def write(self, piece: bytes) -> None:
        check_bytes(piece)
        await self._content.write(piece)

    async def write_from(self, path: str | PathLike[str]) -> None:
        with await asyncio.to_thread(Path(path).open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                await self._content.write(piece)


class _BlockingFile:
    def __init__(self, file: _AsyncFile, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._file = file
        self._run = run

    def write(self, piece: bytes) -> None:
        self._run(self._file.write(piece))

    def write_from(self, path: str | PathLike[str]) -> None:
        self._run(self._file.write_from(path))
