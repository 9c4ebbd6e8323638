"""Finds a caller's file in the storage, and brings it to this machine for converters to read."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from celeriac.core.errors import FileTooLarge, UnknownUpload
from celeriac.families.media.errors import MediaRefused
from celeriac.families.media.formats import category_of
from celeriac.families.media.model import LocalFile, Source
from celeriac.families.media.presets import TAKES, Chosen
from celeriac.families.media.progress import Report
from celeriac.families.media.workspace import check_room
from celeriac.storage.sniffing import HEAD_BYTES, sniff
from celeriac.storage.storage import Storage


class SourceChoice(BaseModel):
    """The file to convert: an upload, an artifact of a job, or a file of the library, by its path in it."""

    model_config = ConfigDict(extra="forbid")

    upload: str | None = Field(default=None, max_length=128, description="The id of a complete upload")
    job: str | None = Field(default=None, max_length=128, description="The job whose artifact it is")
    artifact: str | None = Field(default=None, max_length=200, description="The name of that artifact")
    path: str | None = Field(default=None, max_length=1000, description="A path below CELERIAC_MEDIA_LIBRARY")

    @model_validator(mode="after")
    def _one(self) -> SourceChoice:
        given = [self.upload is not None, self.artifact is not None, self.path is not None]
        if sum(given) != 1 or (self.job is None) == (self.artifact is not None):
            raise ValueError("give one of: upload; job and artifact; path")
        return self


async def find(storage: Storage, choice: SourceChoice, *, owner: str, library: str | None) -> Source:
    """Look the file up.

    Raises:
        UnknownUpload, UnknownArtifact: there is none, or it is another caller's.
        MediaRefused: the upload is not complete, or there is no file at the path.
    """
    if choice.upload is not None:
        upload = await storage.uploads.get(choice.upload)
        if upload.owner != owner:
            raise UnknownUpload(choice.upload)
        if not upload.is_complete:
            raise MediaRefused(f"the upload {upload.name!r} is not complete: {upload.offset} of {upload.size} bytes")
        return Source(path=upload.path, name=upload.name, size=upload.size, content_type=upload.content_type)
    if choice.job is not None and choice.artifact is not None:
        made = await storage.artifacts.get(choice.job, choice.artifact)
        return Source(path=made.path, name=made.name, size=made.size, content_type=made.content_type)
    return await _in_library(storage, choice.path or "", library)


async def _in_library(storage: Storage, path: str, library: str | None) -> Source:
    if not library:
        raise MediaRefused("files cannot be named by path here: CELERIAC_MEDIA_LIBRARY is not set")
    parts = path.split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part or "#" in part for part in parts):
        raise MediaRefused(f"{path[:80]!r} is no path in the library")
    stored = f"{library}/{path}"
    size = await storage.location.size(stored)
    if size is None:
        raise MediaRefused(f"there is no file {path[:80]!r} in the library")
    head = (
        b"".join([piece async for piece in storage.location.stream(stored, 0, min(size, HEAD_BYTES))]) if size else b""
    )
    return Source(path=stored, name=parts[-1], size=size, content_type=sniff(head, parts[-1]))


def check_fit(source: Source, chosen: list[Chosen]) -> None:
    """Check that the presets take files of that kind, by what its first bytes say.

    Raises:
        MediaRefused: one does not.
    """
    category = category_of(source.content_type, source.name, source.size)
    for one in chosen:
        if category not in TAKES[one.preset.kind]:
            raise MediaRefused(
                f"{source.name!r} cannot be converted with the preset {one.name!r}: "
                f"it takes {' and '.join(TAKES[one.preset.kind])}, and the file is {source.content_type}"
            )


async def bring(storage: Storage, source: Source, work: Path, report: Report, *, reserve_bytes: int) -> LocalFile:
    """Say where the file is on this machine. A folder's is read where it lies; a bucket's is fetched to `work`.

    Raises:
        MediaRefused: it has been deleted meanwhile.
        StorageFull: the disk has no room for it beside the reserve.
    """
    folder = storage.location.folder
    if folder is not None:
        path = folder / source.path
        if not path.is_file():
            raise MediaRefused(f"{source.name!r} is gone from the storage")
        return LocalFile(path=path, name=source.name, content_type=source.content_type, size=source.size)
    await asyncio.to_thread(check_room, work, reserve_bytes + source.size)
    path, written = work / "source", 0
    try:
        with await asyncio.to_thread(path.open, "wb") as file:
            async for piece in storage.location.stream(source.path):
                await asyncio.to_thread(file.write, piece)
                written += len(piece)
                if written > source.size:
                    raise FileTooLarge(f"{source.name!r} has more than the {source.size:,} bytes that it had")
                report(100 * written / max(1, source.size), "fetching")
    except FileNotFoundError:
        raise MediaRefused(f"{source.name!r} is gone from the storage") from None
    path.chmod(0o400)
    return LocalFile(path=path, name=source.name, content_type=source.content_type, size=source.size)


def local(path: Path) -> LocalFile:
    """A file of this machine, with its type by its first bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    size = path.stat().st_size
    return LocalFile(path=path.absolute(), name=path.name, content_type=sniff(head, path.name), size=size)
