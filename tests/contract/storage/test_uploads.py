"""Uploads that resume, in a folder and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.core.errors import (
    ChecksumMismatch,
    FileTooLarge,
    InvalidFileName,
    OffsetMismatch,
    TooManyFiles,
    UnknownUpload,
    UploadIncomplete,
)
from celeriac.core.ids import new_id
from celeriac.storage.location import Location
from celeriac.storage.uploads import Upload, UploadLimits, Uploads
from celeriac.storage.writers import PART_BYTES

DAY = timedelta(days=1)


@pytest.fixture
def uploads(location: Location) -> Uploads:
    return Uploads(location, UploadLimits(file_bytes=100 * 1_048_576, owner_bytes=150 * 1_048_576, owner_files=3))


async def body(*pieces: bytes, error: BaseException | None = None) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


async def content(uploads: Uploads, upload: Upload) -> bytes:
    return b"".join([piece async for piece in uploads.stream(upload)])


async def paths(uploads: Uploads) -> list[str]:
    return sorted([found.path async for found in uploads.location.list("uploads/")])


async def test_a_file_that_comes_at_once(uploads: Uploads) -> None:
    sent = b"%PDF-1.7" + bytes(2 * PART_BYTES)
    upload = await uploads.begin("a.pdf", len(sent), sha256=hashlib.sha256(sent).hexdigest())
    assert (upload.offset, upload.is_complete) == (0, False)
    done = await uploads.append(upload, 0, body(sent[:100], sent[100:]))
    assert (done.is_complete, done.offset, done.content_type) == (True, len(sent), "application/pdf")
    assert await uploads.get(upload.id) == done
    assert await content(uploads, done) == sent
    records = [f"uploads/complete/{upload.id}.json", f"uploads/records/{upload.id}.json", upload.entry.path]
    assert await paths(uploads) == sorted([done.path, *records])


async def test_a_file_that_comes_in_parts(uploads: Uploads) -> None:
    upload = await uploads.begin("a.txt", 10)
    upload = await uploads.append(upload, 0, body(b"0123"))
    assert (upload.offset, upload.is_complete) == (4, False)
    upload = await uploads.append(upload, 4, body(b"45"))
    done = await uploads.append(await uploads.get(upload.id), 6, body(b"6789"))
    assert done.is_complete and done.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert await content(uploads, done) == b"0123456789"
    records = [f"uploads/complete/{upload.id}.json", f"uploads/records/{upload.id}.json", upload.entry.path]
    assert await paths(uploads) == sorted([done.path, *records])


async def test_what_has_arrived_of_a_broken_request_is_kept(uploads: Uploads) -> None:
    upload = await uploads.begin("a.txt", 10)
    with pytest.raises(ConnectionError):
        await uploads.append(upload, 0, body(b"0123", error=ConnectionError("gone")))
    upload = await uploads.get(upload.id)
    assert upload.offset == 4
    done = await uploads.append(upload, 4, body(b"456789"))
    assert await content(uploads, done) == b"0123456789"


async def test_an_incomplete_upload_cannot_be_read(uploads: Uploads) -> None:
    announced = await uploads.begin("a.txt", 50)
    upload = await uploads.append(announced, 0, body(b"twelve bytes"))
    with pytest.raises(UploadIncomplete, match="the upload is incomplete: 12 of 50 bytes"):
        await content(uploads, upload)


async def test_a_caller_lists_its_uploads(uploads: Uploads) -> None:
    made = [await uploads.begin(name, 5, owner="ada") for name in ("a", "b")]
    await uploads.begin("c", 5, owner="bob")
    assert await uploads.page("ada", limit=9) == (made[::-1], None)
    assert await uploads.page("", limit=9) == ([], None)


async def test_a_part_at_another_offset_is_refused(uploads: Uploads) -> None:
    upload = await uploads.append(await uploads.begin("a.txt", 10), 0, body(b"0123"))
    for offset in (0, 3, 5, 10):
        with pytest.raises(OffsetMismatch) as raised:
            await uploads.append(upload, offset, body(b"x"))
        assert raised.value.offset == 4
    done = await uploads.append(upload, 4, body(b"456789"))
    with pytest.raises(OffsetMismatch):
        await uploads.append(done, 10, body(b"x"))


async def test_two_requests_at_one_offset_do_no_harm(uploads: Uploads) -> None:
    upload = await uploads.begin("a.txt", 10)
    await uploads.append(upload, 0, body(b"012345"))
    assert (await uploads.append(upload, 0, body(b"0123"))).offset == 6, "the longer one holds"
    done = await uploads.append(await uploads.get(upload.id), 6, body(b"6789"))
    assert await content(uploads, done) == b"0123456789"


async def test_more_than_was_announced_is_refused(uploads: Uploads) -> None:
    upload = await uploads.append(await uploads.begin("a.txt", 10), 0, body(b"0123"))
    with pytest.raises(FileTooLarge):
        await uploads.append(upload, 4, body(b"4567", b"89x"))
    assert (await uploads.get(upload.id)).offset == 4


@pytest.mark.parametrize("parts", [(b"0123456789",), (b"01234", b"56789")])
async def test_another_file_than_was_announced_is_deleted(uploads: Uploads, parts: tuple[bytes, ...]) -> None:
    upload = await uploads.begin("a.txt", 10, sha256="0" * 64)
    with pytest.raises(ChecksumMismatch):
        for part in parts:
            upload = await uploads.append(upload, upload.offset, body(part))
    assert await paths(uploads) == []
    with pytest.raises(UnknownUpload):
        await uploads.get(upload.id)


async def test_an_empty_file_is_complete_at_once(uploads: Uploads) -> None:
    upload = await uploads.begin("empty.txt", 0)
    assert upload.is_complete and await content(uploads, upload) == b""


async def test_a_complete_upload_stays_what_it_is(uploads: Uploads) -> None:
    """Another request that began before it was complete brings the end as well."""
    for sha256 in ("", hashlib.sha256(b"0123").hexdigest()):
        for first in (0, 2):
            upload = await uploads.begin("a.txt", 4, sha256=sha256)
            if first:
                upload = await uploads.append(upload, 0, body(b"01"))
            done = await uploads.append(upload, first, body(b"0123"[first:]))
            before = await paths(uploads)
            with pytest.raises(OffsetMismatch):
                await uploads.append(upload, first, body(b"ABCD"[first:]))
            assert await uploads.get(upload.id) == done
            assert await content(uploads, done) == b"0123"
            if not first:
                assert await paths(uploads) == before
            await uploads.delete(upload.id)
            assert await paths(uploads) == []


async def test_a_record_that_cannot_be_read_counts_as_none(uploads: Uploads) -> None:
    upload = await uploads.append(await uploads.begin("a", 9), 0, body(b"12"))
    await uploads.location.put(f"uploads/records/{upload.id}.json", b"")
    with pytest.raises(UnknownUpload):
        await uploads.get(upload.id)
    assert await uploads.sweep(DAY) == 1
    assert await paths(uploads) == []


async def test_a_caller_keeps_no_more_than_it_may(uploads: Uploads) -> None:
    with pytest.raises(FileTooLarge, match=r"CELERIAC_MAX_FILE_BYTES\); 104,857,601 were announced"):
        await uploads.begin("a", 100 * 1_048_576 + 1)
    await uploads.begin("a", 100 * 1_048_576, owner="ada")
    with pytest.raises(FileTooLarge, match=r"CELERIAC_UPLOAD_QUOTA_BYTES\): delete some"):
        await uploads.begin("b", 60 * 1_048_576, owner="ada")
    await uploads.begin("b", 60 * 1_048_576, owner="bob")
    await uploads.begin("b", 1, owner="ada")
    await uploads.begin("c", 1, owner="ada")
    with pytest.raises(TooManyFiles, match=r"CELERIAC_MAX_UPLOADS\): delete some"):
        await uploads.begin("d", 1, owner="ada")
    with pytest.raises(InvalidFileName):
        await uploads.begin("../d", 1)


async def test_unknown_and_invalid_ids(uploads: Uploads) -> None:
    for upload_id in ("none", "../records", "a/b"):
        with pytest.raises(UnknownUpload):
            await uploads.get(upload_id)


async def test_uploads_are_deleted_and_swept(uploads: Uploads) -> None:
    deleted = await uploads.append(await uploads.begin("a", 2), 0, body(b"12"))
    await uploads.delete(deleted.id)
    assert await paths(uploads) == []
    await uploads.append(await uploads.begin("half", 9), 0, body(b"12"))
    done = await uploads.append(await uploads.begin("b", 2), 0, body(b"12"))
    await uploads.location.put("uploads/parts/gone/00000000000000000000-x", b"1")
    assert await uploads.sweep(DAY) == 1
    assert (await uploads.get(done.id)).is_complete
    assert await uploads.sweep(DAY, datetime.now(UTC) + DAY + timedelta(seconds=5)) == 2
    assert await paths(uploads) == []


async def test_a_list_reads_no_other_uploads_than_it_shows(
    uploads: Uploads, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await uploads.begin(name, 5, owner="ada") for name in ("a", "b", "c")]
    for _ in range(3):
        await uploads.begin("other", 5, owner="bob")
    read, asked = location.read, list[str]()

    async def counted(path: str) -> bytes | None:
        asked.append(path)
        return await read(path)

    monkeypatch.setattr(location, "read", counted)
    first, cursor = await uploads.page("ada", limit=2)
    assert first == made[:0:-1] and cursor is not None
    assert {path.rpartition("/")[2] for path in asked} == {f"{upload.id}.json" for upload in first}
    assert await uploads.page("ada", limit=2, cursor=cursor) == (made[:1], None)
    asked.clear()
    with pytest.raises(TooManyFiles):
        await uploads.begin("d", 5, owner="ada")
    assert asked == []


async def test_uploads_that_are_announced_at_the_same_time_share_the_quota(uploads: Uploads) -> None:
    begun = await asyncio.gather(*(uploads.begin("a", 1) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(upload, Upload | TooManyFiles) for upload in begun), begun
    accepted = [upload for upload in begun if isinstance(upload, Upload)]
    assert len(accepted) <= 3
    kept, _ = await uploads.page("", limit=100)
    assert {upload.id for upload in kept} == {upload.id for upload in accepted}
    for _ in range(3 - len(accepted)):
        await uploads.begin("a", 1)


@pytest.mark.parametrize("parts", [(b"0123456789",), (b"01234", b"56789")])
async def test_an_upload_whose_server_was_killed_after_the_last_part_is_completed_later(
    uploads: Uploads, parts: tuple[bytes, ...]
) -> None:
    upload, offset = await uploads.begin("a.txt", 10, sha256=hashlib.sha256(b"0123456789").hexdigest()), 0
    for part in parts:
        await uploads.location.put(f"uploads/parts/{upload.id}/{offset:020d}-{new_id()}", part)
        offset += len(part)
    left = await uploads.find(upload.id)
    assert (left.offset, left.is_complete) == (10, False)
    done, *others = await asyncio.gather(*(uploads.get(upload.id) for _ in range(9)))
    assert done.is_complete and others == 8 * [done]
    assert await content(uploads, done) == b"0123456789"
    records = [f"uploads/complete/{upload.id}.json", f"uploads/records/{upload.id}.json", upload.entry.path]
    assert await paths(uploads) == sorted([done.path, *records])


async def test_an_end_that_the_storage_repeats_after_a_lost_answer_keeps_the_file(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = uploads.location.put

    async def twice(path: str, content: bytes, **options: Any) -> None:
        await put(path, content, **options)
        if "/complete/" in path:
            await put(path, content, **options)

    monkeypatch.setattr(uploads.location, "put", twice)
    done = await uploads.append(await uploads.begin("a.txt", 4), 0, body(b"text"))
    assert await content(uploads, done) == b"text"


async def test_what_a_killed_server_has_announced_of_an_upload_is_swept(uploads: Uploads) -> None:
    upload = await uploads.begin("a", 9)
    await uploads.location.delete([f"uploads/records/{upload.id}.json"])  # killed before it was written
    assert await uploads.page("", limit=9) == ([], None)
    assert await uploads.sweep(DAY) == 0
    assert await uploads.sweep(DAY, datetime.now(UTC) + DAY + timedelta(seconds=5)) == 1
    assert await paths(uploads) == []


async def test_files_of_others_keep_nobody_from_announcing_and_sweeping(uploads: Uploads) -> None:
    upload = await uploads.begin("a", 3)
    for place in (upload.entry.owner, "uploads/owners", "uploads"):
        await uploads.location.put(f"{place}/.DS_Store", b"")
    other = await uploads.begin("b", 3)
    listed, _ = await uploads.page("", limit=9)
    assert [found.id for found in listed] == [other.id, upload.id]
    assert await uploads.sweep(DAY, datetime.now(UTC) + 2 * DAY) == 2
    assert {path.rpartition("/")[2] for path in await paths(uploads)} == {".DS_Store"}
