"""Uploads: files that callers send in parts, over several requests, and that jobs then read.

Layout in the storage:

    uploads/owners/OWNER/TIME_ID_SIZE    an empty file for each upload of a caller (`upload.py`)
    uploads/records/ID.json              what was announced of the file; the upload is there while this is
    uploads/parts/ID/OFFSET-TOKEN        the bytes from that offset on (20 digits, so that paths sort as offsets do)
    uploads/files/ID/TOKEN               the parts put together, of a file that came in several
    uploads/complete/ID.json             what the whole file is, and where, once it has been checked

An object store cannot append, so each request adds a part of its own. How far an upload is follows from its parts
alone: there is no counter that a crash could leave behind them. The last record is made once: of two requests that
bring the end of a file, one completes it, and what a job reads never changes. If a crash comes in between, whoever asks
for the upload next completes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

from celeriac.core.errors import (
    ChecksumMismatch,
    FileTooLarge,
    OffsetMismatch,
    StorageFull,
    StorageUnavailable,
    UnknownUpload,
    UploadIncomplete,
)
from celeriac.core.ids import is_valid_id, new_id
from celeriac.storage.content import Content
from celeriac.storage.location import Location, PathTaken, Stored
from celeriac.storage.names import checked_name
from celeriac.storage.records import decoded, encoded
from celeriac.storage.upload import FOLDER, Entry, Upload, UploadLimits, entry_at, folder_of

_RECORDS = "uploads/records"
_PARTS = "uploads/parts"
_FILES = "uploads/files"
_COMPLETE = "uploads/complete"
_ITS_FILES = tuple(f"{folder}/" for folder in (_RECORDS, _PARTS, _FILES, _COMPLETE))

#: An empty folder may be about to get a file for so long.
_GRACE = timedelta(hours=1)


class Uploads:
    """All uploads of one storage. Every method may raise `StorageUnavailable`, every writing one `StorageFull`."""

    def __init__(self, location: Location, limits: UploadLimits) -> None:
        self.location = location
        self.limits = limits
        self._completions: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Future[Upload]] = {}

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
        upload = Upload(
            id=new_id(), owner=owner, name=checked_name(name), size=size, sha256=sha256, created_at=datetime.now(UTC)
        )
        self.location.check_room(size)
        await self.location.put(upload.entry.path, b"")
        try:
            # After the entry: of requests that come together, each counts the others.
            self.limits.check(await self._entries(folder_of(owner)))
            await self.location.put(_record_path(upload.id), encoded(upload))
        except BaseException:
            with suppress(StorageFull, StorageUnavailable):  # a sweep deletes it
                await asyncio.shield(self.location.delete([upload.entry.path]))
            raise
        return upload if size else await self._put_together(upload)

    async def get(self, upload_id: str) -> Upload:
        """The upload, with how far it is. One that a crash has left in the middle of its completion is completed.

        Raises:
            UnknownUpload: there is none with this id.
            ChecksumMismatch: it arrived as another file than was announced, and has been deleted.
        """
        upload = await self.find(upload_id)
        if upload.is_complete or upload.offset < upload.size:
            return upload
        with suppress(OffsetMismatch):  # another process completes it
            return await self._put_together(upload)
        return await self.find(upload_id)

    async def find(self, upload_id: str) -> Upload:
        """The upload, with how far it is, and as it is.

        Raises:
            UnknownUpload: there is none with this id.
        """
        if not is_valid_id(upload_id):
            raise UnknownUpload(upload_id)
        upload, complete = await asyncio.gather(
            self._read(_record_path(upload_id)), self._read(_complete_path(upload_id))
        )
        if upload is None:
            raise UnknownUpload(upload_id)
        return complete or replace(upload, offset=sum(part.size for part in await self._parts(upload)))

    async def page(self, owner: str, *, limit: int, cursor: str | None = None) -> tuple[list[Upload], str | None]:
        """Uploads of a caller, the newest first, and the cursor of the next page. Reads no others than it returns."""
        entries = sorted(await self._entries(folder_of(owner)), reverse=True)
        if cursor is not None:
            entries = [entry for entry in entries if entry.cursor < cursor]
        shown = await asyncio.gather(*(self.find(entry.id) for entry in entries[:limit]), return_exceptions=True)
        uploads: list[Upload] = []
        for upload in shown:
            if isinstance(upload, Upload):
                uploads.append(upload)
            elif not isinstance(upload, UnknownUpload):  # that one is deleted just now
                raise upload
        return uploads, entries[limit - 1].cursor if len(entries) > limit else None

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
                await asyncio.shield(part.keep())
            raise
        facts = await part.close()
        if facts["size"] == upload.size:  # it came in one part, which is the file as it is
            return await self._completed(upload, facts)
        arrived = await self.find(upload.id)
        if arrived.is_complete:
            await self._refuse(arrived, facts["path"])
        return await self._put_together(arrived) if arrived.offset == upload.size else arrived

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
        await self._delete(upload_id, (await self.find(upload_id)).entry)

    async def sweep(self, retention: timedelta, now: datetime | None = None) -> int:
        """Delete uploads that were announced longer than `retention` ago, and what crashes have left; say how many."""
        now = now or datetime.now(UTC)
        horizon = now - retention
        found, damaged = set[str](), set[str]()
        async for file in self.location.list("uploads/"):
            if file.path.startswith(_ITS_FILES):  # all but entries, and files of others
                upload_id = file.path.split("/")[2].removesuffix(".json")
                found.add(upload_id)
                if file.path.startswith(f"{_RECORDS}/") and not file.size:  # it counts as none: see `decoded`
                    damaged.add(upload_id)
        entries = {entry.id: entry for entry in await self._entries(FOLDER)}  # after the rest, as they are made first
        kept = {entry.id for entry in entries.values() if entry.created_at >= horizon} - damaged
        deleted = (found | entries.keys()) - kept
        for upload_id in deleted:
            await self._delete(upload_id, entries.get(upload_id))
        self.location.drop_empty_folders("uploads", _GRACE, now)
        return len(deleted)

    async def _put_together(self, upload: Upload) -> Upload:
        """Complete an upload all of which has arrived. Requests that want that at the same time share the work."""
        key = asyncio.get_running_loop(), upload.id
        if (completion := self._completions.get(key)) is None:
            completion = self._completions[key] = asyncio.ensure_future(self._complete(upload))
            completion.add_done_callback(partial(self._completion_ended, key))
        return await asyncio.shield(completion)

    def _completion_ended(self, key: tuple[asyncio.AbstractEventLoop, str], completion: asyncio.Future[Upload]) -> None:
        del self._completions[key]
        if not completion.cancelled():
            completion.exception()  # it is told to those who wait, if there still are any

    async def _complete(self, upload: Upload) -> Upload:
        """Put the parts together, check the whole, and delete them."""
        parts = await self._parts(upload)
        whole = Content(self.location.writer(f"{_FILES}/{upload.id}/{new_id()}"), upload.name, limit=upload.size)
        try:
            for part in parts:
                async for piece in self.location.stream(part.path):
                    await whole.write(piece)
        except FileNotFoundError:  # another request has completed or deleted the upload meanwhile
            await whole.drop()
            raise OffsetMismatch((await self.find(upload.id)).offset) from None
        except BaseException:
            await asyncio.shield(whole.drop())
            raise
        facts = await whole.close()
        completed = await self._completed(upload, facts)
        await self.location.delete([part.path async for part in self.location.list(f"{_PARTS}/{upload.id}/")])
        return completed

    async def _completed(self, upload: Upload, facts: dict[str, Any]) -> Upload:
        """Check the whole file, and complete the upload, unless another request has done so."""
        facts = {name: facts[name] for name in ("sha256", "content_type", "path")}
        done = replace(upload, offset=upload.size, **facts)
        if upload.sha256 and upload.sha256 != done.sha256:
            if (await self.find(upload.id)).is_complete:
                await self._refuse(done, done.path)
            await self._delete(upload.id, upload.entry)
            raise ChecksumMismatch(f"{upload.name} arrived with SHA-256 {done.sha256}; {upload.sha256} was announced")
        try:
            await self.location.put(_complete_path(upload.id), encoded(done), replace=False)
        except PathTaken:
            kept = await self._read(_complete_path(upload.id))
            if kept is None or kept.path != done.path:  # else it is ours: a storage may repeat what got no answer
                await self._refuse(done, done.path)
        return done

    async def _refuse(self, upload: Upload, late: str) -> NoReturn:
        """Delete what a request has brought after the upload was complete."""
        await self.location.delete([late])
        raise OffsetMismatch(upload.size) from None

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

    async def _entries(self, folder: str) -> list[Entry]:
        found = [entry_at(file.path) async for file in self.location.list(f"{folder}/")]
        return [entry for entry in found if entry is not None]

    async def _delete(self, upload_id: str, entry: Entry | None) -> None:
        """Delete the entry last: after a crash, a sweep finds what is left."""
        await self.location.delete([_record_path(upload_id), _complete_path(upload_id)])
        for prefix in (_PARTS, _FILES):
            await self.location.delete([found.path async for found in self.location.list(f"{prefix}/{upload_id}/")])
        if entry is not None:
            await self.location.delete([entry.path])

    async def _read(self, path: str) -> Upload | None:
        return decoded(Upload, await self.location.read(path), path)


def _record_path(upload_id: str) -> str:
    return f"{_RECORDS}/{upload_id}.json"


def _complete_path(upload_id: str) -> str:
    return f"{_COMPLETE}/{upload_id}.json"
