"""Files of this machine that go into the storage, and files of the storage that come to this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

from celeriac.core.artifact import Artifact
from celeriac.core.errors import StorageFull
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.location import is_full
from celeriac.storage.reading import read_file
from celeriac.storage.uploads import Upload, Uploads


async def send(uploads: Uploads, file: Path, *, owner: str = "") -> Upload:
    """Make an upload of a file of this machine."""
    size = (await asyncio.to_thread(file.stat)).st_size
    upload = await uploads.begin(file.name, size, owner=owner)
    return upload if upload.is_complete else await uploads.append(upload, 0, read_file(file))


async def save(artifacts: Artifacts, artifact: Artifact, folder: Path) -> Path:
    """Write an artifact to a folder of this machine, beside its name first: nobody takes half of it for the whole.

    Raises:
        StorageFull: the disk of `folder` has no room for it.
    """
    path, draft = folder / artifact.name, folder / f".{artifact.name}.part"
    try:
        with _room_needed(folder):
            await write(draft, artifacts.stream(artifact))
            return draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


async def write(path: Path, pieces: AsyncGenerator[bytes]) -> None:
    """Write what comes to a file, in a thread."""
    with await asyncio.to_thread(path.open, "wb") as file:
        async for piece in pieces:
            await asyncio.to_thread(file.write, piece)


@contextmanager
def _room_needed(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageFull(f"the disk of {folder} is full: make room, or name another folder") from error
