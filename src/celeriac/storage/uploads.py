"""Uploads: files that callers send in parts, over several requests, and that jobs then read.

Layout in the storage:

    uploads/records/ID.json              what was announced of the file; the upload is there while this is
    uploads/parts/ID/OFFSET-TOKEN        the bytes from that offset on (20 digits, so that paths sort as offsets do)
    uploads/files/ID/TOKEN               the parts put together, of a file that came in several
    uploads/complete/ID.json             what the whole file is, and where, once it has been checked

An object store cannot append, so each request adds a part of its own. How far an upload is follows from its parts
alone: there is no counter that a crash could leave behind them. The last record is made once: of two requests that
bring the end of a file, one completes it, and what a job reads never changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from celeriac.core.errors import (
    ChecksumMismatch,
    FileTooLarge,
    OffsetMismatch,
    StorageFull,
    StorageUnavailable,
    TooManyFiles,
    UnknownUpload,
    UploadIncomplete,
)
from celeriac.core.ids import is_valid_id, new_id
from celeriac.storage.content import Content
from celeriac.storage.location import Location, PathTaken, Stored
from celeriac.storage.names import checked_name
from celeriac.storage.records import decoded, encoded

_RECORDS = "uploads/records"
_PARTS = "uploads/parts"
_FILES = "uploads/files"
_COMPLETE = "uploads/complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that a caller sends.

    Attributes:
        id: its id.
        owner: the caller, by the name of the API key; empty without keys.
        name: the file's name, as the caller chose it.
        size: how large it is, as announced, in bytes.
        offset: how many bytes have arrived.
        sha256: the digest of its content in hexadecimal digits: as announced, and known when it is complete.
        content_type: its media type, found by its first bytes; empty until it is complete.
        path: where the whole file is kept in the storage; empty until it is complete.
        created_at: when it was announced (UTC).
    """

    id: str
    owner: str
    name: str
    size: int
    offset: int = 0
    sha256: str = ""
    content_type: str = ""
    path: str = ""
    created_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived and has been checked."""
        return bool(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What one caller may keep.

    Attributes:
        file_bytes: the size of one file.
        owner_bytes: of all uploads of one caller together, counted as they are announced.
        owner_files: how many uploads.
    """

    file_bytes: int
    owner_bytes: int
    owner_files: int


class Uploads:
    """All uploads of one storage. Every method may raise `StorageUnavailable`, every writing one `StorageFull`."""

    def __init__(self, location: Location, limits: UploadLimits) -> None:
        self.location = location
        self.limits = limits

    async def begin(self, name: str, size: int, *, owner: str = "", sha256: str = "") -> Upload:
        """Announce a file of `size` bytes.

        Raises:
            InvalidFileName: the name cannot be one.
            FileTooLarge, TooManyFiles: the caller may not keep that much.
        """
        if size > self.limits.file_bytes:
            raise FileTooLarge(
                f"an upload may have {self.limits.file_bytes:,} bytes (CELERIAC_MAX_FILE_BYTES); "
                f"{size:,} were announced"
            )
        kept = await self.of(owner)
        if len(kept) >= self.limits.owner_files:
            raise TooManyFiles(
                f"there are {len(kept)} uploads, as many as one caller may have (CELERIAC_MAX_UPLOADS): delete some"
            )
        if sum(upload.size for upload in kept) + size > self.limits.owner_bytes:
            raise FileTooLarge(
                f"the uploads of one caller may have {self.limits.owner_bytes:,} bytes "
                "(CELERIAC_UPLOAD_QUOTA_BYTES): delete some"
            )
        self.location.check_room(size)
        upload = Upload(
            id=new_id(), owner=owner, name=checked_name(name), size=size, sha256=sha256, created_at=datetime.now(UTC)
        )
        await self.location.put(_record_path(upload.id), encoded(upload))
        return upload if size else await self._complete(upload, [])

    async def get(self, upload_id: str) -> Upload:
        """The upload, with how far it is.

        Raises:
            UnknownUpload: there is none with this id.
        """
        upload = await self._read(_record_path(upload_id)) if is_valid_id(upload_id) else None
        if upload is None:
            raise UnknownUpload(upload_id)
        if (complete := await self._read(_complete_path(upload_id))) is not None:
            return complete
        return replace(upload, offset=sum(part.size for part in await self._parts(upload)))

    async def of(self, owner: str) -> list[Upload]:
        """The uploads of a caller as they were announced, the newest first. `get` says how far one is."""
        kept = [upload async for upload in self._all() if upload.owner == owner]
        return sorted(kept, key=lambda upload: (upload.created_at, upload.id), reverse=True)

    async def append(self, upload: Upload, offset: int, body: AsyncIterable[bytes]) -> Upload:
        """Add what `body` brings, from `offset` on. What has arrived is kept, also if `body` ends with an error.

        Raises:
            OffsetMismatch: the file goes on elsewhere.
            FileTooLarge: more came than was announced. Nothing of it is kept.
            ChecksumMismatch: the whole file is another than was announced. It has been deleted.
        """
        if offset != upload.offset or upload.is_complete:
            raise OffsetMismatch(upload.offset)
        part = Content(
            self.location.writer(f"{_PARTS}/{upload.id}/{offset:020d}-{new_id()}"),
            upload.name,
            limit=upload.size - offset,
            digest=offset == 0,  # only such a part may be the whole file
        )
        try:
            async for piece in body:
                await part.write(piece)
        except FileTooLarge:
            await part.drop()
            raise
        except BaseException:  # the connection broke, say: the caller asks how far it is, and goes on there
            with suppress(StorageFull, StorageUnavailable):
                await asyncio.shield(part.close())
            raise
        facts = await part.close()
        if facts["size"] == upload.size:  # it came in one part, which is the file as it is
            return await self._completed(upload, facts)
        arrived = await self.get(upload.id)
        return await self._complete(arrived, await self._parts(arrived)) if arrived.offset == upload.size else arrived

    def stream(self, upload: Upload, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the content of a complete upload from byte `start` up to and without `end`.

        Raises:
            UploadIncomplete: it was not complete when `get` told of it.
        """
        if not upload.is_complete:
            raise UploadIncomplete(upload.offset, upload.size)
        return self.location.stream(upload.path, start, end)

    async def delete(self, upload_id: str) -> None:
        """Delete the upload, complete or not.

        Raises:
            UnknownUpload: there is none with this id.
        """
        upload = await self.get(upload_id)
        await self._delete_all(upload.id)

    async def sweep(self, retention: timedelta, now: datetime | None = None) -> int:
        """Delete uploads that were announced longer than `retention` ago, and what crashes have left; say how many."""
        now = now or datetime.now(UTC)
        horizon, kept, deleted = now - retention, set[str](), set[str]()
        found = {file.path.split("/")[2].removesuffix(".json") async for file in self.location.list("uploads/")}
        async for upload in self._all():
            if upload.created_at >= horizon:
                kept.add(upload.id)
        for upload_id in found - kept:
            await self._delete_all(upload_id)
            deleted.add(upload_id)
        self.location.drop_empty_folders("uploads")
        return len(deleted)

    async def _complete(self, upload: Upload, parts: Iterable[Stored]) -> Upload:
        """Put the parts together, check the whole, and delete them."""
        whole = Content(self.location.writer(f"{_FILES}/{upload.id}/{new_id()}"), upload.name, limit=upload.size)
        try:
            for part in parts:
                async for piece in self.location.stream(part.path):
                    await whole.write(piece)
        except FileNotFoundError:  # another request has completed or deleted the upload meanwhile
            await whole.drop()
            raise OffsetMismatch((await self.get(upload.id)).offset) from None
        except BaseException:
            await asyncio.shield(whole.drop())
            raise
        facts = await whole.close()
        completed = await self._completed(upload, facts)
        await self.location.delete([part.path for part in parts])
        return completed

    async def _completed(self, upload: Upload, facts: dict[str, Any]) -> Upload:
        """Check the whole file, and complete the upload, unless another request has done so."""
        facts = {name: facts[name] for name in ("sha256", "content_type", "path")}
        done = replace(upload, offset=upload.size, **facts)
        if upload.sha256 and upload.sha256 != done.sha256:
            if (await self.get(upload.id)).is_complete:
                await self._refuse(done)
            await self._delete_all(upload.id)
            raise ChecksumMismatch(f"{upload.name} arrived with SHA-256 {done.sha256}; {upload.sha256} was announced")
        try:
            await self.location.put(_complete_path(upload.id), encoded(done), replace=False)
        except PathTaken:
            await self._refuse(done)
        return done

    async def _refuse(self, late: Upload) -> NoReturn:
        """Delete what a request has brought after the upload was complete."""
        await self.location.delete([late.path])
        raise OffsetMismatch(late.size) from None

    async def _parts(self, upload: Upload) -> list[Stored]:
        """The parts that follow one another from the beginning on; of several at one offset, the longest."""
        found = [part async for part in self.location.list(f"{_PARTS}/{upload.id}/")]
        longest: dict[int, Stored] = {}
        for part in sorted(found, key=lambda part: part.size):
            longest[int(part.path.rpartition("/")[2][:20])] = part
        chain: list[Stored] = []
        reach = 0
        while (part := longest.get(reach)) is not None and part.size:
            chain.append(part)
            reach += part.size
        return chain

    async def _delete_all(self, upload_id: str) -> None:
        await self.location.delete([_record_path(upload_id), _complete_path(upload_id)])
        for prefix in (_PARTS, _FILES):
            await self.location.delete([found.path async for found in self.location.list(f"{prefix}/{upload_id}/")])

    async def _all(self) -> AsyncGenerator[Upload]:
        async for found in self.location.list(f"{_RECORDS}/"):
            if (upload := await self._read(found.path)) is not None:
                yield upload

    async def _read(self, path: str) -> Upload | None:
        return decoded(Upload, await self.location.read(path), path)


def _record_path(upload_id: str) -> str:
    return f"{_RECORDS}/{upload_id}.json"


def _complete_path(upload_id: str) -> str:
    return f"{_COMPLETE}/{upload_id}.json"
