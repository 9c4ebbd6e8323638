"""Publishes what was made as artifacts of the job, with progress, and knows what an earlier run has published."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from celeriac.core.context import JobContext
from celeriac.families.media.progress import Report
from celeriac.storage.artifacts import Artifacts

_PIECE_BYTES = 4 * 1_048_576


class Publisher:
    """The artifacts of one job. `earlier` has the names of those that a run before this one has published."""

    def __init__(self, job: JobContext, artifacts: Artifacts, earlier: frozenset[str]) -> None:
        self.earlier = earlier
        self._job = job
        self._artifacts = artifacts

    @classmethod
    async def of(cls, job: JobContext, artifacts: Artifacts) -> Publisher:
        """The publisher of a job, in any of its runs."""
        return cls(job, artifacts, frozenset(artifact.name for artifact in await artifacts.of(job.id)))

    async def publish(self, made: Path, name: str, report: Report) -> None:
        """Make the file an artifact. Only call this for what has been proved."""
        written = 0
        async with self._job.artifact(name) as artifact:
            with await asyncio.to_thread(made.open, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                    await artifact.write(piece)
                    written += len(piece)
                    report(100 * written / size, f"publishing {name}")

    async def publish_text(self, text: str, name: str) -> None:
        """Make a short text an artifact."""
        async with self._job.artifact(name) as artifact:
            await artifact.write(text.encode())

    async def text(self, name: str) -> str:
        """The content of a short artifact that an earlier run has published."""
        artifact = await self._artifacts.get(self._job.id, name)
        return b"".join([piece async for piece in self._artifacts.stream(artifact)]).decode()
