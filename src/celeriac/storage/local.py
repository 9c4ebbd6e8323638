"""Files of this machine that go into the storage, and files of the storage that come to this machine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from celeriac.core.artifact import Artifact
from celeriac.core.errors import StorageFull, StorageUnavailable, UnknownUpload, UploadIncomplete
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.location import is_full
from celeriac.storage.reading import read_file
from celeriac.storage.uploads import Upload, Uploads


async def send(uploads: Uploads, file: Path, *, owner: str = "") -> Upload:
    """Make an upload of a file of this machine, or none at all.

    Raises:
        UploadIncomplete: the file became shorter while it was read.
    """
    size = (await asyncio.to_thread(file.stat)).st_size
    upload = await uploads.begin(file.name, size, owner=owner)
    if upload.is_complete:
        return upload
    try:
        async with aclosing(read_file(file)) as pieces:
            sent = await uploads.append(upload, 0, pieces)
        if not sent.is_complete:
            raise UploadIncomplete(sent.offset, size)
    except BaseException:
        with suppress(UnknownUpload, StorageFull, StorageUnavailable):
            await asyncio.shield(uploads.delete(upload.id))
        raise
    return sent


async def save(artifacts: Artifacts, artifact: Artifact, folder: Path) -> Path:
    """Write an artifact to a folder of this machine, beside its name first: nobody takes half of it for the whole.

    Raises:
        StorageFull: the disk of `folder` has no room for it.
    """
    # Nobody else's file: two may save the same at a time, and others may write to the folder.
    path, draft = folder / artifact.name, folder / f".{artifact.name}.{secrets.token_hex(8)}"
    try:
        with _room_needed(folder):
            await write(draft, artifacts.stream(artifact), mode="xb")
            return draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


async def write(path: Path, pieces: AsyncGenerator[bytes], *, mode: Literal["wb", "xb"] = "wb") -> None:
    """Write what comes to a file, in a thread."""
    async with aclosing(pieces):
        with await asyncio.to_thread(path.open, mode) as file:
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
