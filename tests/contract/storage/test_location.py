"""What a folder and a bucket have in common: a place for files."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from celeriac.core.errors import ConfigurationError, StorageFull, StorageUnavailable
from celeriac.storage.location import Location, PathTaken
from celeriac.storage.writers import PART_BYTES

MEGABYTE = 1_048_576


async def content(location: Location, path: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in location.stream(path, start, end)])


async def test_what_was_put_is_read(location: Location) -> None:
    await location.put("a/b.txt", b"hello")
    assert await location.read("a/b.txt") == b"hello"
    assert await location.size("a/b.txt") == 5
    assert await location.read("a/none.txt") is None
    assert await location.size("a/none.txt") is None


async def test_a_path_is_taken_once_unless_it_is_replaced(location: Location) -> None:
    await location.put("key", b"first", replace=False)
    with pytest.raises(PathTaken):
        await location.put("key", b"second", replace=False)
    assert await location.read("key") == b"first"
    await location.put("key", b"third")
    assert await location.read("key") == b"third"


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, 2 * PART_BYTES + 3])
async def test_a_file_appears_complete_and_at_once(location: Location, size: int) -> None:
    writer = location.writer("files/large.bin")
    for at in range(0, size, MEGABYTE):
        await writer.write(bytes(min(MEGABYTE, size - at)))
    assert [found async for found in location.list("files")] == []
    assert await location.size("files/large.bin") is None
    await writer.close()
    assert await location.size("files/large.bin") == size
    assert await content(location, "files/large.bin") == bytes(size)


async def test_a_dropped_file_leaves_nothing(location: Location) -> None:
    writer = location.writer("files/large.bin")
    await writer.write(bytes(2 * PART_BYTES))
    await writer.drop()
    await writer.drop()
    assert [found async for found in location.list("files")] == []
    assert location.delete_aside(("files",), timedelta(0), datetime.now(UTC)) == []


async def test_a_part_of_a_file_is_read(location: Location) -> None:
    await location.put("a.txt", b"0123456789")
    assert await content(location, "a.txt", 3) == b"3456789"
    assert await content(location, "a.txt", 3, 5) == b"34"
    with pytest.raises(FileNotFoundError):
        await content(location, "none.txt")


async def test_a_large_file_is_read_in_large_pieces_and_to_its_end_though_it_is_deleted(location: Location) -> None:
    written = bytes(range(256)) * 20_000
    await location.put("a", written)
    pieces = location.stream("a", 1, len(written) - 1)
    read = [await anext(pieces)]
    await location.delete(["a"])
    read += [piece async for piece in pieces]
    assert b"".join(read) == written[1:-1]
    assert all(len(piece) >= MEGABYTE for piece in read[:-1])


async def test_files_are_listed_by_folder(location: Location) -> None:
    for path in ("a/1", "a/b/2", "ab/3"):
        await location.put(path, path.encode())
    assert {(found.path, found.size) async for found in location.list("a/")} == {("a/1", 3), ("a/b/2", 5)}
    assert [found async for found in location.list("none/")] == []


async def test_files_are_deleted(location: Location) -> None:
    await location.put("b/2", b"two")
    await location.delete(["b/2", "b/none"])
    assert await location.read("b/2") is None


async def test_a_server_that_answers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.storage.location._ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{frozen.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        location = Location("s3://bucket/prefix")
        for answer in (location.read("a"), location.size("a"), location.put("a", b""), anext(location.list("a/"))):
            with pytest.raises(StorageUnavailable, match=r"did not answer within 0\.3 s"):
                await answer


async def test_names_of_all_scripts_are_paths(location: Location) -> None:
    for name in ("Übersicht Q3.pdf", "売上.xlsx", "تقرير.csv", "a+b & c=d.txt", "100% (1).txt"):
        await location.put(f"files/{name}", name.encode())
        assert await location.read(f"files/{name}") == name.encode()


async def test_no_path_leads_out_of_the_location(location: Location) -> None:
    with pytest.raises((ValueError, StorageUnavailable)):
        await location.put("files/../../outside", b"")


def test_another_scheme_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"CELERIAC_STORAGE_URL=memory:/+: each process has a memory of its"):
        Location("memory:///")
    with pytest.raises(ConfigurationError, match=r"CELERIAC_STORAGE_URL=ftp://host/x: expected file"):
        Location("ftp://user:secret@host/x")


async def test_the_reserve_of_a_disk_stays_free(tmp_path_factory: pytest.TempPathFactory) -> None:
    location = Location(f"file://{tmp_path_factory.mktemp('full')}", reserve_bytes=10**18)
    with pytest.raises(StorageFull, match="CELERIAC_STORAGE_RESERVE_BYTES"):
        await location.put("a", b"1")
    with pytest.raises(StorageFull):
        await location.writer("a").write(b"1")


async def test_a_server_that_is_not_there_is_named_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    with pytest.raises(StorageUnavailable) as raised:
        await Location("s3://bucket").put("a", b"1")
    assert "s3://bucket" in str(raised.value) and "a-secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
