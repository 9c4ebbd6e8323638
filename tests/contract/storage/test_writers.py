"""Files that are written while something goes wrong, in a folder and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from array import array
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import FileTooLarge, StorageFull, StorageUnavailable
from celeriac.core.ids import new_id
from celeriac.storage.artifacts import Artifacts, Limits
from celeriac.storage.content import Content
from celeriac.storage.location import Location
from celeriac.storage.threads import _MOST_THREADS, in_thread  # pyright: ignore[reportPrivateUsage]

MEBIBYTE = 1_048_576
LIMITS = Limits(file_bytes=100 * MEBIBYTE, job_bytes=100 * MEBIBYTE, job_files=9)
FIRST, SECOND = b"1" * MEBIBYTE, b"2" * MEBIBYTE


@pytest.fixture
def artifacts(location: Location) -> Artifacts:
    return Artifacts(location, LIMITS)


@contextmanager
def all_threads_busy() -> Generator[None]:
    """No call of the storage begins before the block has ended."""
    gate = threading.Event()
    busy = [asyncio.ensure_future(in_thread(gate.wait)) for _ in range(_MOST_THREADS)]
    try:
        yield
    finally:
        gate.set()
        for call in busy:
            call.add_done_callback(lambda _: None)


async def begun(action: Any) -> asyncio.Task[Any]:
    """The action, which waits for a thread."""
    task = asyncio.ensure_future(action)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def content(location: Location, path: str) -> bytes:
    return b"".join([piece async for piece in location.stream(path)])


async def files(location: Location) -> list[str]:
    left = [found.path async for found in location.list("")]
    if location.folder is not None:
        left += [str(path) for path in location.folder.rglob("*#*")]
    return left


async def test_a_piece_whose_writer_was_cancelled_comes_before_the_next(location: Location) -> None:
    for _ in range(20):
        writer = location.writer("a")
        with all_threads_busy():
            first = await begun(writer.write(FIRST))
            first.cancel()
            await asyncio.wait([first])
            second = await begun(writer.write(SECOND))
        await second
        await writer.close()
        assert await content(location, "a") == FIRST + SECOND


async def test_a_file_that_may_lack_a_piece_is_never_an_artifact(artifacts: Artifacts) -> None:
    file = await artifacts.begin("job", "a")
    with all_threads_busy():
        first = await begun(file.write(FIRST))
        first.cancel()
        await asyncio.wait([first])
    with pytest.raises(RuntimeError, match="a piece of a was not written"):
        await file.write(SECOND)
    with pytest.raises(RuntimeError, match="a piece of a was not written"):
        await artifacts.publish("job", file)
    assert await files(artifacts.location) == []


async def test_a_piece_that_is_cancelled_while_it_waits_for_its_turn_is_lacking_as_well(artifacts: Artifacts) -> None:
    file = await artifacts.begin("job", "a")
    with all_threads_busy():
        first, second = await begun(file.write(FIRST)), await begun(file.write(SECOND))
        second.cancel()
        await asyncio.wait([second])
    await first
    with pytest.raises(RuntimeError, match="a piece of a was not written"):
        await file.write(b"3")
    with pytest.raises(RuntimeError, match="a piece of a was not written"):
        await artifacts.publish("job", file)
    assert await files(artifacts.location) == []


async def test_a_file_has_what_was_given_before_its_end_and_takes_nothing_after_it(artifacts: Artifacts) -> None:
    file = await artifacts.begin("job", "a")
    with all_threads_busy():
        pieces = [await begun(file.write(piece)) for piece in (FIRST, SECOND)]
        end = await begun(artifacts.publish("job", file))
    made = await end
    await asyncio.gather(*pieces)
    assert (made.size, await content(artifacts.location, made.path)) == (2 * MEBIBYTE, FIRST + SECOND)
    with pytest.raises(RuntimeError, match="a is closed: write to it inside its block"):
        await file.write(b"late")
    dropped = await artifacts.begin("job", "b")
    await dropped.drop()
    with pytest.raises(RuntimeError, match="b is closed"):
        await dropped.write(FIRST)
    assert [path for path in await files(artifacts.location) if "#" in path] == []


async def test_a_job_that_goes_on_after_a_piece_was_refused_makes_no_artifact(location: Location) -> None:
    artifacts = Artifacts(location, Limits(file_bytes=10, job_bytes=10, job_files=9))
    file = await artifacts.begin("job", "a")
    await file.write(b"begin ")
    with pytest.raises(FileTooLarge):
        await file.write(b"too much")
    with pytest.raises(FileTooLarge):
        await file.write(b"end")
    with pytest.raises(FileTooLarge):
        await artifacts.publish("job", file)
    assert await files(location) == []


async def test_pieces_that_are_written_at_the_same_time_are_digested_as_they_are_kept(artifacts: Artifacts) -> None:
    for _ in range(20):
        file = await artifacts.begin("job", "a")
        await asyncio.gather(*(file.write(piece) for piece in (FIRST, b"3", SECOND, b"4")))
        made = await artifacts.publish("job", file)
        kept = await content(artifacts.location, made.path)
        assert kept == FIRST + b"3" + SECOND + b"4"
        assert (made.size, made.sha256) == (len(kept), hashlib.sha256(kept).hexdigest())


async def test_a_piece_counts_in_bytes_and_is_what_it_was_when_it_was_given(artifacts: Artifacts) -> None:
    numbers, memory = array("d", [1.5, 2.5]), bytearray(b"text")
    file = await artifacts.begin("job", "a")
    await file.write(memoryview(numbers))
    await file.write(memory)
    memory[:] = b"next"
    made = await artifacts.publish("job", file)
    assert made.size == 20
    assert await content(artifacts.location, made.path) == numbers.tobytes() + b"text"


async def test_of_two_who_write_one_path_at_a_time_the_last_wins(location: Location) -> None:
    first, second = location.writer("a/b"), location.writer("a/b")
    for _ in range(2):
        await first.write(FIRST)
        await second.write(SECOND)
    await first.close()
    assert await content(location, "a/b") == 2 * FIRST
    await second.close()
    assert await content(location, "a/b") == 2 * SECOND
    assert await files(location) == ["a/b"]


async def test_what_is_published_while_nobody_waits_for_it_any_more_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = Location(tmp_path.as_uri())
    renaming, gate, rename = threading.Event(), threading.Event(), Path.replace

    def held(path: Path, target: Path) -> Path:
        renaming.set()
        gate.wait()
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", held)
    file = Content(location.writer("a"), "a", limit=10 * MEBIBYTE)
    await file.write(FIRST)
    closing = asyncio.create_task(file.close())
    await asyncio.to_thread(renaming.wait)
    closing.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert await files(location) == []


async def test_a_job_is_told_its_own_fault_though_its_file_cannot_be_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    location = Location(tmp_path.as_uri())
    writer = location.writer("folder/a")
    await writer.write(FIRST)
    (aside,) = (tmp_path / "folder").iterdir()
    aside.unlink()
    aside.parent.rmdir()
    aside.parent.write_text("no folder any more")
    await writer.drop()
    assert "folder/a could not be deleted (" in caplog.text


@pytest.mark.parametrize("fault", [StorageFull, StorageUnavailable])
async def test_a_job_is_told_its_own_fault_though_the_storage_deletes_nothing(
    location: Location, fault: type[StorageFull | StorageUnavailable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems need room to delete a file."""

    async def refused(paths: Sequence[str]) -> None:
        raise StorageFull("no room") if fault is StorageFull else StorageUnavailable("storage", "it is away")

    writer = location.writer("folder/a")
    await writer.write(FIRST)
    await writer.close()
    monkeypatch.setattr(location, "delete", refused)
    await writer.drop()


async def test_a_new_file_is_not_swept_for_its_old_last_piece(tmp_path: Path) -> None:
    artifacts = Artifacts(Location(tmp_path.as_uri()), LIMITS)
    file = await artifacts.begin("job", "a")
    await file.write(FIRST)
    (aside,) = tmp_path.rglob("*#*")
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    os.utime(aside, (long_ago, long_ago))
    await file.close()
    assert (await artifacts.sweep(timedelta(days=7))).orphans == 0


async def test_files_of_others_in_the_folder_are_not_swept(tmp_path: Path) -> None:
    files = [tmp_path / "notes#2", tmp_path / "mine" / "a#1", tmp_path / "artifacts" / "issue#7.txt"]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (tmp_path / "artifacts" / "folder#1" / "with").mkdir(parents=True)
    artifacts = Artifacts(Location(tmp_path.as_uri()), LIMITS)
    await artifacts.sweep(timedelta(days=7), datetime.now(UTC) + timedelta(days=3))
    assert [path for path in files if not path.exists()] == []


async def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    flush, rename = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        steps.append(os.path.relpath(Path(f"/proc/self/fd/{descriptor}").readlink(), tmp_path).partition("#")[0])
        flush(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.name.partition('#')[0]}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    writer = Location((tmp_path / "storage").as_uri()).writer("folder/a")
    await writer.write(b"content")
    await writer.close()
    assert steps == ["storage/folder/a", "rename a", "storage/folder", "storage"]


@pytest.mark.slow
async def test_files_are_written_while_empty_folders_are_swept(tmp_path: Path) -> None:
    location = Location(tmp_path.as_uri())
    has_ended = threading.Event()

    def sweep() -> None:
        while not has_ended.is_set():
            location.drop_empty_folders("files", timedelta(0), datetime.now(UTC))

    sweeping = asyncio.create_task(asyncio.to_thread(sweep))
    try:
        for _ in range(150):
            writer = location.writer(f"files/{new_id()}/{new_id()}/a")
            await writer.write(b"content")
            await writer.close()
    finally:
        has_ended.set()
        await sweeping
    assert len([found async for found in location.list("files")]) == 150


async def test_only_folders_that_have_been_empty_for_long_are_swept(tmp_path: Path) -> None:
    location, hour, now = Location(tmp_path.as_uri()), timedelta(hours=1), datetime.now(UTC)
    (tmp_path / "files" / "new" / "empty").mkdir(parents=True)
    await location.put("files/full/a", b"1")
    location.drop_empty_folders("files", hour, now)
    assert (tmp_path / "files" / "new" / "empty").is_dir()
    location.drop_empty_folders("files", hour, now + timedelta(hours=2))
    assert {path.name for path in (tmp_path / "files").iterdir()} == {"full"}


async def test_others_of_the_machine_see_no_files_and_no_key(tmp_path: Path) -> None:
    from celeriac.storage.links import Link, Links

    await Location((tmp_path / "made").as_uri()).put("a", b"1")
    writer = Location((tmp_path / "written").as_uri()).writer("a")
    await writer.write(b"1")
    await writer.close()
    (tmp_path / "open").mkdir(mode=0o755)
    await Links(Location((tmp_path / "open").as_uri())).token(Link("job", "a", datetime.now(UTC)))
    for folder in ("made", "written", "open/keys"):
        assert (tmp_path / folder).stat().st_mode & 0o077 == 0, folder
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o755


async def test_a_file_is_closed_with_its_reader(tmp_path: Path) -> None:
    location = Location(tmp_path.as_uri())
    await location.put("a", 3 * FIRST)
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        pieces = location.stream("a")
        await anext(pieces)
        await pieces.aclose()
        assert len(list(Path("/dev/fd").iterdir())) == before
