"""What is left of files when a worker is killed, or a disk is full."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import JobFailed, Settings
from celeriac.core.errors import StorageFull
from celeriac.storage.artifacts import Artifacts, Limits
from celeriac.storage.local import save
from celeriac.storage.location import Location
from celeriac.storage.storage import Storage
from tests.support import artifact_jobs
from tests.support.api_server import NO_TLS, api_of, serving
from tests.support.artifact_jobs import PIECE, ArtifactJobs
from tests.support.fixtures import StartWorker
from tests.support.waiting import eventually

MODULE = "tests.support.artifact_jobs"
WEEK = timedelta(days=7)
MEBIBYTE = 1_048_576


@pytest_asyncio.fixture
async def artists(settings: Settings) -> AsyncGenerator[ArtifactJobs]:
    made = artifact_jobs.create(settings)
    yield made
    await made.app.client.aclose()
    made.app.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk. Only root can mount a small one; run this test as root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def files_in(storage: Storage) -> list[Path]:
    """All files of artifacts, also those that are not published."""
    folder = storage.location.folder
    assert folder is not None
    return [path for path in (folder / "artifacts" / "files").rglob("*") if path.is_file()]


async def test_a_worker_that_is_killed_in_the_middle_leaves_no_artifact_and_its_successor_makes_it(
    artists: ArtifactJobs, start: StartWorker, tmp_path: Path
) -> None:
    gate, storage = tmp_path / "gate", artists.app.storage
    first = start(MODULE, pool="asyncio")
    handle = await artists.build.enqueue("film.bin", gate=gate)

    async def is_half_done() -> bool:
        return (await artists.app.client.get(handle.id)).progress is not None

    await eventually(is_half_done)
    first.kill()
    assert await storage.artifacts.of(handle.id) == []
    left = files_in(storage)
    assert left, "nothing was written before the kill: this test shows nothing"
    gate.touch()
    start(MODULE, pool="asyncio")
    await handle.result(timeout=60)
    (made,) = await storage.artifacts.of(handle.id)
    assert made.size == 20 * len(PIECE)
    assert set(left) < set(files_in(storage))
    swept = await storage.artifacts.sweep(WEEK, datetime.now(UTC) + timedelta(days=3))  # longer than any job writes
    assert swept.orphans == len(left) and swept.expired == 0
    assert len(files_in(storage)) == 1
    assert b"".join([piece async for piece in storage.artifacts.stream(made)]) == 20 * PIECE


@pytest.mark.parametrize(("reserve", "reason"), [(0, "no room left"), (8 * 1_048_576, "are a reserve")])
async def test_a_full_disk_fails_the_job_and_leaves_nothing(
    artists: ArtifactJobs, start: StartWorker, small_disk: Path, reserve: int, reason: str
) -> None:
    settings = {"storage_url": small_disk.as_uri(), "storage_reserve_bytes": reserve}
    start(MODULE, pool="asyncio", settings=settings)
    handle = await artists.jobs["async"].enqueue("large.bin", pieces=30)
    with pytest.raises(JobFailed, match=f"StorageFull.*{reason}"):
        await handle.result(timeout=60)
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    small = await artists.jobs["async"].enqueue("small.bin", pieces=2)
    await small.result(timeout=60)


async def test_a_full_disk_refuses_an_upload_and_leaves_nothing(artists: ArtifactJobs, small_disk: Path) -> None:
    settings = artists.app.settings.model_copy(
        update={"storage_url": SecretStr((small_disk / "storage").as_uri()), "storage_reserve_bytes": 0}
    )
    app = artifact_jobs.create(settings).app
    size = 30 * len(PIECE)
    with serving(api_of(app)) as server:
        async with httpx2.AsyncClient(base_url=server.url, verify=NO_TLS) as client:
            tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size)}
            part = {**tus, "Content-Type": "application/offset+octet-stream"}
            refused = await client.post("/uploads", headers=part, content=30 * PIECE)
            assert (refused.status_code, refused.json()["type"]) == (507, "urn:celeriac:problem:storage-full")
            files = [path for path in small_disk.rglob("*") if path.is_file()]
            assert sorted(path.relative_to(small_disk).parts[2] for path in files) == ["owners", "records"], files
            fits = await client.post("/uploads", files={"file": ("small.bin", PIECE)})
            assert fits.status_code == 201, fits.text
    app.close()


async def test_a_form_that_fills_the_disk_of_temporary_files_is_refused(
    artists: ArtifactJobs, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with serving(api_of(artists.app)) as server:
        async with httpx2.AsyncClient(base_url=server.url, verify=NO_TLS) as client:
            refused = await client.post("/uploads", files={"file": ("large.bin", 30 * PIECE)})
            assert (refused.status_code, refused.json()["type"]) == (507, "urn:celeriac:problem:storage-full")
            assert "in parts" in refused.json()["detail"]


async def test_forms_that_come_together_leave_the_reserve_of_the_disk_of_temporary_files(
    artists: ArtifactJobs, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    second = {"file": ("second.bin", 6 * PIECE)}
    head = b"POST /uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 15000000\r\n"
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="first.bin"\r\n\r\n' + 9 * PIECE

    def free() -> int:
        return shutil.disk_usage(small_disk).free // len(PIECE)

    with serving(api_of(artists.app)) as server:
        async with httpx2.AsyncClient(base_url=server.url, verify=NO_TLS) as client:
            with socket.create_connection(("127.0.0.1", server.port)) as first:
                await asyncio.to_thread(
                    first.sendall, head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + form
                )
                await eventually(lambda: free() <= 7, "the first form has come")
                refused = await client.post("/uploads", files=second)
                assert (refused.status_code, refused.json()["type"]) == (507, "urn:celeriac:problem:storage-full")
            await eventually(lambda: free() >= 15, "the first form has gone")
            assert (await client.post("/uploads", files=second)).status_code == 201


async def test_beat_is_told_to_sweep(artists: ArtifactJobs) -> None:
    app = artists.app
    app.sweep_files(every=60)
    (entry,) = app.conf.beat_schedule.values()
    assert (entry["task"], entry["schedule"].run_every) == ("celeriac.sweep_files", timedelta(seconds=60))


async def test_a_full_disk_of_the_one_who_saves_a_file_is_said_and_leaves_nothing(
    artists: ArtifactJobs, small_disk: Path
) -> None:
    storage = artists.app.storage
    content = await storage.artifacts.begin("job", "film.bin")
    for _ in range(20):
        await content.write(b"x" * MEBIBYTE)
    film = await storage.artifacts.publish("job", content)
    with pytest.raises(StorageFull, match=f"the disk of {small_disk} is full"):
        await save(storage.artifacts, film, small_disk)
    assert list(small_disk.iterdir()) == []


async def test_a_file_whose_record_has_no_room_leaves_nothing(small_disk: Path) -> None:
    artifacts = Artifacts(
        Location(small_disk.as_uri()), Limits(file_bytes=20 * MEBIBYTE, job_bytes=20 * MEBIBYTE, job_files=9)
    )
    content = await artifacts.begin("job", "film.bin")
    await content.write(bytes(2 * MEBIBYTE))
    with pytest.raises(OSError), (small_disk / "of others").open("wb", buffering=0) as others:
        while True:
            others.write(bytes(MEBIBYTE))
    with pytest.raises(StorageFull):
        await artifacts.publish("job", content)
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["of others"]


async def test_a_file_never_uses_the_reserve_and_is_gone_at_once_when_it_is_refused(small_disk: Path) -> None:
    location = Location(small_disk.as_uri(), reserve_bytes=8 * MEBIBYTE)
    for _ in range(20):
        writer = location.writer("large.bin")
        with pytest.raises(StorageFull, match="are a reserve"):
            while True:
                await writer.write(bytes(MEBIBYTE))
        assert shutil.disk_usage(small_disk).free >= 8 * MEBIBYTE
        await writer.drop()
        assert shutil.disk_usage(small_disk).free >= 15 * MEBIBYTE


async def test_a_file_of_which_a_piece_could_not_be_written_is_never_published(small_disk: Path) -> None:
    location = Location(small_disk.as_uri())
    writer = location.writer("large.bin")
    with pytest.raises(StorageFull):
        await writer.write(bytes(32 * MEBIBYTE))
    await writer.write(b"what fits")
    with pytest.raises(StorageFull):
        await writer.close()
    await writer.drop()
    assert list(small_disk.iterdir()) == []
