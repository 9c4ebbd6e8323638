"""Archives on a real file system: what is appended is there, and what was not committed is not."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import multiprocessing
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import StorageUnavailable
from celeriac.families.cleanup.archives import open_archive
from celeriac.families.cleanup.archives_model import Archive, ArchiveColumn, Format, Member
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused

COLUMNS = [ArchiveColumn("id", "INTEGER"), ArchiveColumn("note", "TEXT"), ArchiveColumn("at", "TIMESTAMP")]
FORMATS: list[Format] = ["csv.gz", "parquet"]


def rows(start: int, count: int = 3) -> list[tuple[Any, ...]]:
    return [
        (n, f'note "{n}",\n' if n % 2 else None, datetime(2026, 1, 1, 0, 0, n % 60))
        for n in range(start, start + count)
    ]


async def opened(form: Format, folder: Path, committed: Sequence[Member] = ()) -> Archive:
    return await open_archive(form, folder, "run-1.orders", COLUMNS, committed=committed)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(folder: Path, form: Format) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(form))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archives"


async def test_members_that_follow_one_another_are_one_csv(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    members = [await archive.append(rows(1)), await archive.append(rows(4))]
    [file] = await archive.close()

    text = gzip.decompress(file.path.read_bytes()).decode()
    assert text.startswith('id,note,at\r\n1,"note ""1"",\n",2026-01-01T00:00:01\r\n2,\\N,')
    assert text.count("2026-01-01") == 6
    assert (file.rows, file.sha256) == (6, hashlib.sha256(file.path.read_bytes()).hexdigest())
    assert members[1].offset == members[0].end and members[1].end == file.bytes == file.path.stat().st_size
    part = file.path.read_bytes()[members[1].offset : members[1].end]
    assert hashlib.sha256(part).hexdigest() == members[1].sha256
    assert gzip.decompress(part).decode().count("2026-01-01") == 3


async def test_the_manifest_says_what_is_in_the_file(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    member = await archive.append(rows(1))
    manifest = json.loads(next(folder.glob("*.json")).read_text())
    assert (manifest["complete"], manifest["members"]) == (False, [])

    [file] = await archive.close()
    manifest = json.loads(next(folder.glob("*.json")).read_text())
    assert [(column["name"], column["kind"], column["type"]) for column in manifest["columns"]] == [
        ("id", "integer", "INTEGER"),
        ("note", "text", "TEXT"),
        ("at", "datetime", "TIMESTAMP"),
    ]
    assert (manifest["complete"], manifest["rows"]) == (True, 3)
    assert manifest["files"] == [{"file": file.path.name, "rows": 3, "bytes": file.bytes, "sha256": file.sha256}]
    assert [one["sha256"] for one in manifest["members"]] == [member.sha256]


@pytest.mark.parametrize("form", FORMATS)
async def test_only_the_owner_can_read_archives(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    await archive.append(rows(1))
    await archive.close()
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("form", FORMATS)
async def test_what_was_taken_back_is_not_there(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    await archive.append(rows(1))
    wrong = await archive.append(rows(100))
    await archive.truncate(wrong)
    await archive.append(rows(4, 2))
    assert sum(file.rows for file in await archive.close()) == 5


@pytest.mark.parametrize("form", FORMATS)
async def test_only_the_last_member_is_taken_back(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    first = await archive.append(rows(1))
    await archive.append(rows(4))
    with pytest.raises(ArchiveRefused, match="only the last"):
        await archive.truncate(first)
    await archive.close()


@pytest.mark.parametrize("form", FORMATS)
async def test_a_run_that_goes_on_cuts_off_what_was_not_committed(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    committed = [await archive.append(rows(1)), await archive.append(rows(4))]
    await archive.append(rows(100))  # its transaction was never committed
    await archive.release()

    archive = await opened(form, folder, committed)
    committed.append(await archive.append(rows(7)))
    found = await archive.close()
    assert sum(file.rows for file in found) == 9
    assert {file.path.name for file in found} == {member.file for member in committed}
    assert {path.name for path in files(folder, form)} == {member.file for member in committed}


async def test_a_half_written_tail_is_cut_off(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    committed = [await archive.append(rows(1))]
    await archive.release()
    [path] = files(folder, "csv.gz")
    with path.open("ab") as file:
        file.write(b"\x1f\x8b\x08 half a member")

    archive = await opened("csv.gz", folder, committed)
    await archive.append(rows(4))
    [file] = await archive.close()
    assert file.path == path
    assert gzip.decompress(path.read_bytes()).decode().count("2026-01-01") == 6


@pytest.mark.parametrize("form", FORMATS)
async def test_files_of_which_nothing_was_committed_are_removed(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    await archive.append(rows(1))
    await archive.release()

    archive = await opened(form, folder)
    assert files(folder, form) == []
    assert await archive.close() == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
async def test_files_of_other_archives_stay(folder: Path, form: Format) -> None:
    kept: list[Path] = []
    for name in ("run-1", "run-1.orders.lines", "run-1.order", "run-11.orders"):
        other = await open_archive(form, folder, name, COLUMNS)
        await other.append(rows(1))
        await other.release()
        kept = files(folder, form)
    await (await opened(form, folder)).close()
    assert files(folder, form) == kept and len(kept) == 4


@pytest.mark.parametrize("form", FORMATS)
async def test_a_complete_file_stays_whatever_the_database_says(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    await archive.append(rows(1))
    [file] = await archive.close()
    await (await opened(form, folder)).close()
    assert file.path.exists()


@pytest.mark.parametrize("form", FORMATS)
async def test_another_machine_begins_a_file_of_its_own(folder: Path, tmp_path: Path, form: Format) -> None:
    archive = await opened(form, folder)
    committed = [await archive.append(rows(1))]
    await archive.release()

    elsewhere = await opened(form, tmp_path / "elsewhere", committed)
    committed.append(await elsewhere.append(rows(4)))
    [file] = await elsewhere.close()
    assert file.path.parent.name == "elsewhere" and file.rows == 3
    assert len({member.file for member in committed}) == 2

    back = await opened(form, folder, committed)
    [file] = await back.close()
    assert (file.path.name, file.rows) == (committed[0].file, 3)


async def test_a_worker_that_still_writes_keeps_its_file(folder: Path) -> None:
    old = await opened("csv.gz", folder)
    committed = [await old.append(rows(1))]
    pending = await old.append(rows(4))

    new = await opened("csv.gz", folder, committed)  # another file: the lock on the first is taken
    committed.append(await new.append(rows(4)))
    await old.truncate(pending)
    await old.release()
    found = await new.close()
    assert sorted(file.path.name for file in found) == sorted(member.file for member in committed)
    assert [file.rows for file in found] == [3, 3]


async def test_a_killed_process_leaves_no_lock(folder: Path) -> None:
    forking = multiprocessing.get_context("fork")
    reader, writer = forking.Pipe(duplex=False)

    def write() -> None:
        async def append() -> None:
            archive = await opened("csv.gz", folder)
            writer.send(await archive.append(rows(1)))
            await archive.append(rows(4))
            os.kill(os.getpid(), 9)

        asyncio.run(append())

    process = forking.Process(target=write)
    process.start()
    committed = [await asyncio.to_thread(reader.recv)]
    await asyncio.to_thread(process.join)
    assert process.exitcode == -9

    archive = await opened("csv.gz", folder, committed)
    await archive.append(rows(4))
    [file] = await archive.close()
    assert (file.path.name, file.rows) == (committed[0].file, 6)


async def test_a_table_that_was_altered_meanwhile_gets_a_file_of_its_own(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    committed = [await archive.append(rows(1))]
    await archive.release()
    columns = [*COLUMNS, ArchiveColumn("new")]
    archive = await open_archive("csv.gz", folder, "run-1.orders", columns, committed=committed)
    await archive.append([(*row, 1) for row in rows(4)])
    assert [file.rows for file in await archive.close()] == [3, 3]


@pytest.mark.parametrize("form", FORMATS)
async def test_a_committed_member_that_has_changed_stops_the_run(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    committed = [await archive.append(rows(1))]
    await archive.release()
    path = folder / committed[0].file
    with path.open("r+b") as file:
        file.seek(committed[0].offset + 30)
        file.write(b"\xff\xff")
    with pytest.raises(ArchiveDamaged, match=f"{committed[0].file}.*damaged"):
        await (await opened(form, folder, committed)).close()


async def test_a_file_that_is_shorter_than_what_was_committed_stops_the_run(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    committed = [await archive.append(rows(1)), await archive.append(rows(4))]
    await archive.release()
    os.truncate(folder / committed[0].file, committed[1].offset)
    with pytest.raises(ArchiveDamaged, match="damaged"):
        await opened("csv.gz", folder, committed)


async def test_an_earlier_member_that_has_changed_is_found_at_the_end(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    committed = [await archive.append(rows(1)), await archive.append(rows(4))]
    with (folder / committed[0].file).open("r+b") as file:
        file.seek(committed[0].offset + 30)
        file.write(b"\xff\xff")
    with pytest.raises(ArchiveDamaged, match=f"byte {committed[0].offset}"):
        await archive.close()


async def test_a_cancelled_chunk_leaves_nothing(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    await archive.append(rows(1))
    task = asyncio.create_task(archive.append(rows(4, 20_000)))
    await asyncio.sleep(0)  # it has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await archive.append(rows(4))
    [file] = await archive.close()
    assert file.rows == 6


@pytest.mark.parametrize("form", FORMATS)
async def test_decimals_json_and_bytes_pass_the_comparison(folder: Path, form: Format) -> None:
    columns = [ArchiveColumn(name) for name in ("amount", "data", "blob", "mixed", "at", "nan")]
    archive = await open_archive(form, folder, "x", columns)
    values = [
        (Decimal("1.10"), {"a": [1]}, b"\x00", 1, datetime(2026, 1, 1, tzinfo=UTC), float("nan")),
        (Decimal("2.2"), None, None, "one", None, None),
    ]
    assert (await archive.append(values)).rows == 2
    await archive.close()


@pytest.mark.parametrize("form", FORMATS)
async def test_a_value_that_cannot_be_archived_leaves_the_file_as_it_was(folder: Path, form: Format) -> None:
    archive = await opened(form, folder)
    committed = [await archive.append(rows(1))]
    with pytest.raises(ArchiveRefused, match="complex"):
        await archive.append([(1, 1j, datetime(2026, 1, 1))])
    await archive.release()
    [file] = await (await opened(form, folder, committed)).close()
    assert file.rows == 3


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-x", "a b", "ä", "x" * 200])
async def test_a_name_that_is_no_files_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ArchiveRefused, match="no name for an archive"):
        await open_archive("csv.gz", folder, name, COLUMNS)


async def test_a_chunk_without_rows_is_refused(folder: Path) -> None:
    archive = await opened("csv.gz", folder)
    with pytest.raises(ArchiveRefused, match="without rows"):
        await archive.append([])
    await archive.close()


async def test_a_link_in_place_of_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    archive = await opened("csv.gz", folder)
    committed = [await archive.append(rows(1))]
    await archive.release()
    path = folder / committed[0].file
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(StorageUnavailable, match=path.name):
        await opened("csv.gz", folder, committed)
