"""Files of this machine that go into the storage, and files of the storage that come to this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from celeriac.core.artifact import Artifact
from celeriac.core.errors import FileTooLarge, UploadIncomplete
from celeriac.storage.artifacts import Artifacts, Limits
from celeriac.storage.local import save, send
from celeriac.storage.location import Location
from celeriac.storage.upload import Upload, UploadLimits
from celeriac.storage.uploads import Uploads

MEBIBYTE = 1_048_576
FILM = bytes(range(256)) * 40_000


@pytest.fixture
def artifacts(location: Location) -> Artifacts:
    return Artifacts(location, Limits(file_bytes=20 * MEBIBYTE, job_bytes=20 * MEBIBYTE, job_files=9))


async def made(artifacts: Artifacts) -> Artifact:
    content = await artifacts.begin("job", "film.bin")
    await content.write(FILM)
    return await artifacts.publish("job", content)


async def test_a_file_is_saved_by_several_at_a_time(artifacts: Artifacts, tmp_path: Path) -> None:
    film, goal = await made(artifacts), tmp_path / "goal"
    goal.mkdir()
    saved = await asyncio.gather(*(save(artifacts, film, goal) for _ in range(5)))
    assert set(saved) == {goal / "film.bin"} and list(goal.iterdir()) == [goal / "film.bin"]
    assert (goal / "film.bin").read_bytes() == FILM


async def test_nobody_can_foresee_the_name_of_a_draft(artifacts: Artifacts, tmp_path: Path) -> None:
    """In a folder that others may write to, a link of that name would lead the file elsewhere."""
    film, goal, other = await made(artifacts), tmp_path / "goal", tmp_path / "other"
    goal.mkdir()
    other.write_text("of another")
    (goal / ".film.bin.part").symlink_to(other)
    (goal / "film.bin").symlink_to(other)
    await save(artifacts, film, goal)
    assert other.read_text() == "of another"
    assert (goal / "film.bin").read_bytes() == FILM and not (goal / "film.bin").is_symlink()


class Meddled(Uploads):
    """Uploads of files that change between their announcement and their reading."""

    length = 0
    file = Path()

    async def begin(self, name: str, size: int, *, owner: str = "", sha256: str = "") -> Upload:
        upload = await super().begin(name, size, owner=owner, sha256=sha256)
        os.truncate(self.file, self.length)
        return upload


@pytest.mark.parametrize(("length", "fault"), [(5, UploadIncomplete), (5 * MEBIBYTE, FileTooLarge)])
async def test_a_file_that_changes_while_it_is_sent_is_no_upload(
    location: Location, tmp_path: Path, length: int, fault: type[Exception]
) -> None:
    uploads = Meddled(location, UploadLimits(file_bytes=20 * MEBIBYTE, owner_bytes=20 * MEBIBYTE, owner_files=9))
    uploads.length, uploads.file = length, tmp_path / "orders.csv"
    uploads.file.write_bytes(bytes(MEBIBYTE))
    with pytest.raises(fault):
        await send(uploads, uploads.file)
    assert [found.path async for found in location.list("uploads/")] == []


async def test_a_file_that_is_not_there_is_no_upload(location: Location, tmp_path: Path) -> None:
    uploads = Uploads(location, UploadLimits(file_bytes=20, owner_bytes=20, owner_files=9))
    with pytest.raises(FileNotFoundError):
        await send(uploads, tmp_path / "orders.csv")
