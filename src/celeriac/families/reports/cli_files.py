"""What the commands of reports do with files: send one, show how far a report is, and save what it has made."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celeriac.core.artifact import Artifact
    from celeriac.engine.app import JobApp

_PIECE_BYTES = 1_048_576
_BAR = 30


async def sent(application: JobApp, file: Path) -> str:
    """Send a file as an upload, and return its id."""
    uploads = application.storage.uploads
    size = (await asyncio.to_thread(file.stat)).st_size
    upload = await uploads.begin(file.name, size, owner="celeriac report")
    if not upload.is_complete:
        await uploads.append(upload, 0, _pieces(file))
    return upload.id


async def _pieces(path: Path) -> AsyncGenerator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


async def watch(application: JobApp, job_id: str) -> None:
    """Show the job's progress on a terminal until it has ended."""
    async for event in application.client.events(job_id):
        if event is None or event.name != "progress" or not sys.stderr.isatty():
            continue
        done, total = event.data["done"], event.data["total"]
        share = min(1.0, done / total) if total else 0.0
        bar = ("█" * round(share * _BAR)).ljust(_BAR, "·") if total else "·" * _BAR
        shown = f"{share:4.0%}" if total else f"{done:,.0f} rows"
        sys.stderr.write(f"\r{bar} {event.data['message']:<12} {shown:<15}")
        sys.stderr.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


async def saved(application: JobApp, artifact: Artifact, folder: Path) -> Path:
    """Write an artifact to a file of this machine, beside its name first: nobody sees half of it."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    path = folder / artifact.name
    draft = folder / f".{artifact.name}.part"
    with draft.open("wb") as file:
        async for piece in application.storage.artifacts.stream(artifact):
            file.write(piece)
    return draft.replace(path)
