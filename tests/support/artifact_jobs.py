"""Jobs that make files, in each way that a job can run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from celeriac import Celeriac, JobContext, Settings

PIECE = bytes(range(256)) * 4096


class ArtifactJobs:
    """An application and its jobs."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app

        async def draw(job: JobContext, name: str, pieces: int, fails: bool = False) -> tuple[int, str]:
            written = job.artifact(name)
            async with written as file:
                for _ in range(pieces):
                    await file.write(PIECE)
                    await asyncio.sleep(0)
                if fails:
                    raise ValueError("half of it")
            return written.artifact.size, written.artifact.sha256

        def draw_sync(job: JobContext, name: str, pieces: int, fails: bool = False) -> tuple[int, str]:
            written = job.artifact(name)
            with written as file:
                for _ in range(pieces):
                    file.write(PIECE)
                if fails:
                    raise ValueError("half of it")
            return written.artifact.size, written.artifact.sha256

        async def copy(job: JobContext, source: Path) -> int:
            written = job.artifact("copy.txt")
            async with written as file:
                await file.write_from(source)
            return written.artifact.size

        async def hold(job: JobContext, name: str) -> None:
            async with job.artifact(name) as file:
                for _ in range(20):
                    await file.write(PIECE)
                job.progress(1, 2, "half")
                await asyncio.Event().wait()

        async def build(job: JobContext, name: str, gate: Path) -> None:
            async with job.artifact(name) as file:
                for _ in range(20):
                    await file.write(PIECE)
                job.progress(1, 2, "half")
                while not gate.exists():
                    await asyncio.sleep(0.02)

        self.jobs: dict[str, Any] = {
            "async": app.job(name="draw")(draw),
            "def": app.job(name="draw_sync")(draw_sync),
            "isolated async": app.job(name="draw_isolated", isolate=True)(draw),
            "isolated def": app.job(name="draw_sync_isolated", isolate=True)(draw_sync),
        }
        self.copy = app.job(name="copy")(copy)
        self.hold = app.job(name="hold")(hold)
        self.build = app.job(name="build")(build)


def create(settings: Settings) -> ArtifactJobs:
    """The application of the settings."""
    return ArtifactJobs(Celeriac("artists", settings=settings))
