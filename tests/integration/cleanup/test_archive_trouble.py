"""Archives when the system says no: the error names what to change, and what was committed stays readable."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Generator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import CeleriacError, StorageFull, StorageUnavailable
from celeriac.families.cleanup.archives import open_archive
from celeriac.families.cleanup.archives_model import Archive, ArchiveColumn, Format, Member

COLUMNS = [ArchiveColumn("id"), ArchiveColumn("note")]
FORMATS: list[Format] = ["csv.gz", "parquet"]


def rows(count: int) -> list[tuple[Any, ...]]:
    return [(n, os.urandom(1000)) for n in range(count)]  # nothing that could be packed


async def opened(form: Format, folder: Path, committed: list[Member] | None = None) -> Archive:
    return await open_archive(form, folder, "x", COLUMNS, committed=committed or [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", place], capture_output=True)
    if made.returncode != 0:
        pytest.skip("this user may not mount a small disk: archives on a full disk are NOT tested")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("form", FORMATS)
async def test_a_full_disk_takes_no_half_chunk_and_keeps_the_whole_ones(small_disk: Path, form: Format) -> None:
    archive = await opened(form, small_disk)
    committed = [await archive.append(rows(300)), await archive.append(rows(100))]
    with pytest.raises(StorageFull, match=r"no room for .*: No space left on device.*CELERIAC_CLEANUP_ARCHIVES"):
        await archive.append(rows(1000))
    await archive.release()
    assert sum(path.stat().st_size for path in small_disk.iterdir() if form in path.name) == sum(
        member.length for member in committed
    ) + (committed[0].offset if form == "csv.gz" else 0)

    subprocess.run(["mount", "-o", "remount,size=3m", small_disk], check=True)  # somebody has made room
    archive = await opened(form, small_disk, committed)
    committed.append(await archive.append(rows(1000)))
    assert sum(file.rows for file in await archive.close()) == 1400


async def test_a_full_disk_at_the_first_chunk_leaves_no_file(small_disk: Path) -> None:
    (small_disk / "filling").write_bytes(b"x" * 1024 * 1024)
    archive = await opened("csv.gz", small_disk)
    with pytest.raises(StorageFull):
        await archive.append(rows(10))
    await archive.release()
    assert [path.name for path in small_disk.iterdir()] == ["filling"]


async def test_a_disk_without_room_for_the_folder_says_so(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=1m,nr_inodes=2", small_disk], check=True)
    (small_disk / "last").touch()
    with pytest.raises(StorageFull, match="CELERIAC_CLEANUP_ARCHIVES"):
        await opened("csv.gz", small_disk / "archives")


@pytest.mark.parametrize("form", FORMATS)
async def test_a_read_only_disk_says_so(small_disk: Path, form: Format) -> None:
    archive = await opened(form, small_disk)
    committed = [await archive.append(rows(1))]
    await archive.release()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageUnavailable, match=r"Read-only file system|not writable"):
        await opened(form, small_disk, committed)


def as_nobody(work: Callable[[], Coroutine[Any, Any, object]]) -> str:
    """Do it as a user without rights, and return what it raised. Root may do everything."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user: folders of others are NOT tested")
    forking = multiprocessing.get_context("fork")
    reader, writer = forking.Pipe(duplex=False)

    def run() -> None:
        os.setgid(65534)
        os.setuid(65534)
        try:
            asyncio.run(work())
            writer.send("nothing was raised")
        except CeleriacError as error:
            writer.send(f"{type(error).__name__}: {error}")

    process = forking.Process(target=run)
    process.start()
    said = reader.recv()
    process.join()
    return said


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that every user can reach."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o055)
    return tmp_path


def test_a_folder_of_somebody_else_is_refused(shared: Path) -> None:
    folder = shared / "archives"
    folder.mkdir(mode=0o755)
    said = as_nobody(lambda: opened("csv.gz", folder))
    why = "it is not writable; CELERIAC_CLEANUP_ARCHIVES names it"
    assert said == f"StorageUnavailable: the storage {folder} cannot be used: {why}"


def test_a_folder_that_cannot_be_created_is_refused(shared: Path) -> None:
    said = as_nobody(lambda: opened("csv.gz", shared / "archives"))
    assert "Permission denied" in said and "CELERIAC_CLEANUP_ARCHIVES" in said


def test_a_folder_of_somebody_else_to_which_all_can_write_is_refused(shared: Path) -> None:
    folder = shared / "archives"
    folder.mkdir()
    folder.chmod(0o777)
    said = as_nobody(lambda: opened("csv.gz", folder))
    assert "others can write to it" in said and "chmod go-w" in said


async def test_a_folder_of_ours_is_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    folder.chmod(0o777)
    await (await opened("csv.gz", folder)).close()
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_folder_whose_parent_is_missing_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"No such file or directory; CELERIAC_CLEANUP_ARCHIVES"):
        await opened("csv.gz", tmp_path / "unmounted" / "archives")
    assert list(tmp_path.iterdir()) == []


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archives").touch()
    with pytest.raises(StorageUnavailable, match="it is no folder"):
        await opened("csv.gz", tmp_path / "archives")


@pytest.mark.parametrize("form", FORMATS)
async def test_a_folder_that_vanishes_meanwhile_says_so(tmp_path: Path, form: Format) -> None:
    archive = await opened(form, tmp_path / "archives")
    await archive.append(rows(1))
    shutil.rmtree(tmp_path / "archives")
    with pytest.raises(StorageUnavailable, match="No such file"):
        await archive.append(rows(1))
    await archive.release()


async def test_a_file_that_was_replaced_while_it_was_written_is_noticed(tmp_path: Path) -> None:
    archive = await opened("csv.gz", tmp_path / "archives")
    member = await archive.append(rows(1))
    path = tmp_path / "archives" / member.file
    copy = path.read_bytes()
    path.unlink()
    path.write_bytes(copy)
    with pytest.raises(StorageUnavailable, match="somebody has replaced the file"):
        await archive.append(rows(1))
    await archive.release()


#: A disk that cannot sync, as far as a process can tell.
_LIBRARY = """
#include <errno.h>
#include <stdlib.h>
int fsync(int opened) { (void)opened; errno = EIO; return -1; }
"""


def test_a_disk_that_cannot_sync_is_not_believed(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: a disk that cannot sync is NOT tested")
    (tmp_path / "broken.c").write_text(_LIBRARY)
    library = tmp_path / "broken.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "broken.c"], check=True)
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from celeriac.core.errors import StorageUnavailable\n"
        "from celeriac.families.cleanup.archives import open_archive\n"
        "from celeriac.families.cleanup.archives_model import ArchiveColumn\n"
        "async def main() -> None:\n"
        "    archive = await open_archive('csv.gz', Path(sys.argv[1]), 'x', [ArchiveColumn('id')])\n"
        "    try:\n"
        "        await archive.append([(1,)])\n"
        "    except StorageUnavailable as error:\n"
        "        print(error)\n"
        "    await archive.release()\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, program, tmp_path / "archives"],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
    )
    assert os.strerror(errno.EIO) in ran.stdout, ran.stdout + ran.stderr
    assert list((tmp_path / "archives").iterdir()) == []


async def test_each_row_is_whole_after_trouble(tmp_path: Path) -> None:
    """A chunk that cannot be written closes the archive, since nobody knows what is on the disk: open it again."""
    archive = await opened("csv.gz", tmp_path / "archives")
    committed = [await archive.append([(1, datetime(2026, 1, 1))])]
    with pytest.raises(CeleriacError):
        await archive.append([(1, object())])
    with pytest.raises(CeleriacError, match="open it again"):
        await archive.append([(2, datetime(2026, 1, 1))])
    await archive.release()
    archive = await opened("csv.gz", tmp_path / "archives", committed)
    await archive.append([(2, datetime(2026, 1, 1))])
    [file] = await archive.close()
    assert file.rows == 2
