"""Artifacts, in a folder and in a bucket."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from celeriac.core.errors import FileTooLarge, InvalidFileName, TooManyFiles, UnknownArtifact
from celeriac.storage.artifacts import Artifact, Artifacts, Limits
from celeriac.storage.location import Location
from celeriac.storage.writers import PART_BYTES

JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
LIMITS = Limits(file_bytes=100 * 1_048_576, job_bytes=100 * 1_048_576, job_files=3)
WEEK = timedelta(days=7)

# Writes more than a piece of a file, says so, and goes on writing nothing.
WRITES_FOR_EVER = """
import asyncio, sys
from celeriac.storage.location import Location
from celeriac.storage.writers import PART_BYTES
from celeriac.storage.artifacts import Artifacts, Limits

async def main():
    content = await Artifacts(Location(sys.argv[1]), Limits(file_bytes=10**9, job_bytes=10**9, job_files=3)).begin(
        sys.argv[2], "half.bin"
    )
    for _ in range(3):
        await content.write(bytes(PART_BYTES))
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def artifacts(location: Location) -> Artifacts:
    return Artifacts(location, LIMITS)


async def make(artifacts: Artifacts, name: str, content: bytes, job_id: str = JOB) -> Artifact:
    file = await artifacts.begin(job_id, name)
    await file.write(content)
    return await artifacts.publish(job_id, file)


async def content(artifacts: Artifacts, artifact: Artifact) -> bytes:
    return b"".join([piece async for piece in artifacts.stream(artifact)])


async def files(artifacts: Artifacts) -> list[str]:
    return [found.path async for found in artifacts.location.list("artifacts/files/")]


async def test_an_artifact_is_described_by_its_content(artifacts: Artifacts) -> None:
    made = await make(artifacts, "Übersicht.csv", b"%PDF-1.7 and no table")
    assert (made.name, made.size, made.content_type) == ("Übersicht.csv", 21, "application/pdf")
    assert made.sha256 == hashlib.sha256(b"%PDF-1.7 and no table").hexdigest()
    assert await artifacts.get(JOB, "Übersicht.csv") == made
    assert await artifacts.of(JOB) == [made]
    assert await content(artifacts, made) == b"%PDF-1.7 and no table"


async def test_nobody_sees_half_of_a_file(artifacts: Artifacts) -> None:
    file = await artifacts.begin(JOB, "large.bin")
    await file.write(bytes(2 * PART_BYTES))
    assert await artifacts.of(JOB) == []
    await file.drop()
    assert await artifacts.of(JOB) == [] and await files(artifacts) == []


async def test_a_name_that_is_written_again_has_the_new_content(artifacts: Artifacts) -> None:
    former = await make(artifacts, "a.txt", b"first")
    made = await make(artifacts, "a.txt", b"second")
    assert await artifacts.of(JOB) == [made]
    assert await content(artifacts, made) == b"second"
    assert await files(artifacts) == [made.path] and former.path != made.path


async def test_unknown_and_invalid_names(artifacts: Artifacts) -> None:
    with pytest.raises(UnknownArtifact):
        await artifacts.get(JOB, "none.txt")
    with pytest.raises(UnknownArtifact):
        await artifacts.get("../../keys", "links")
    assert await artifacts.of("../..") == []
    with pytest.raises(UnknownArtifact):
        await artifacts.get(JOB, "../../keys/links")
    with pytest.raises(InvalidFileName):
        await artifacts.begin(JOB, "../up.txt")


async def test_files_that_are_written_at_the_same_time_share_the_room(location: Location) -> None:
    artifacts = Artifacts(location, Limits(file_bytes=100, job_bytes=100, job_files=3))
    first, second = await artifacts.begin(JOB, "a"), await artifacts.begin(JOB, "b")
    for file in (first, second):
        await file.write(bytes(60))
    made = await artifacts.publish(JOB, first)
    with pytest.raises(FileTooLarge, match=r"together \(CELERIAC_MAX_JOB_ARTIFACT_BYTES\)"):
        await artifacts.publish(JOB, second)
    assert await artifacts.of(JOB) == [made]
    assert await files(artifacts) == [made.path]


async def test_a_record_that_cannot_be_read_counts_as_none(artifacts: Artifacts) -> None:
    await make(artifacts, "a", b"1")
    await artifacts.location.put(f"artifacts/records/{JOB}/a.json", b"")
    assert await artifacts.of(JOB) == []
    with pytest.raises(UnknownArtifact):
        await artifacts.get(JOB, "a")
    swept = await artifacts.sweep(WEEK, datetime.now(UTC) + timedelta(hours=2))
    assert (swept.expired, swept.orphans) == (0, 1)
    assert [found async for found in artifacts.location.list("artifacts/")] == []


async def test_a_job_keeps_no_more_than_it_may(artifacts: Artifacts) -> None:
    for name in ("a", "b", "c"):
        await make(artifacts, name, b"1")
    with pytest.raises(TooManyFiles, match="CELERIAC_MAX_JOB_ARTIFACTS"):
        await artifacts.begin(JOB, "d")
    await make(artifacts, "c", b"2")  # which replaces one
    small = Artifacts(artifacts.location, Limits(file_bytes=10, job_bytes=12, job_files=9))
    file = await small.begin(JOB, "d")
    with pytest.raises(FileTooLarge, match=r"the 9 bytes that are left for it \(CELERIAC_MAX_JOB_ARTIFACT_BYTES\)"):
        await file.write(b"0123456789")
    await file.drop()


async def test_artifacts_of_one_job_are_deleted(artifacts: Artifacts) -> None:
    await make(artifacts, "a", b"1")
    other = await make(artifacts, "a", b"1", job_id="other")
    assert await artifacts.delete(JOB) == 1
    assert await artifacts.of(JOB) == [] and await artifacts.of("other") == [other]
    assert await files(artifacts) == [other.path]


async def test_what_is_too_old_is_swept(artifacts: Artifacts) -> None:
    await make(artifacts, "a", b"123")
    assert (await artifacts.sweep(WEEK)).expired == 0
    swept = await artifacts.sweep(WEEK, datetime.now(UTC) + WEEK + timedelta(seconds=5))
    assert (swept.expired, swept.orphans, swept.freed_bytes) == (1, 0, 3)
    assert await artifacts.of(JOB) == [] and await files(artifacts) == []


async def test_a_file_without_a_record_is_swept_when_no_record_can_come_any_more(artifacts: Artifacts) -> None:
    kept = await make(artifacts, "a", b"1")
    await artifacts.location.put(f"artifacts/files/{JOB}/token/b", b"12")  # killed before the record was written
    assert (await artifacts.sweep(WEEK)).orphans == 0
    swept = await artifacts.sweep(WEEK, datetime.now(UTC) + timedelta(hours=2))
    assert (swept.orphans, swept.freed_bytes) == (1, 2)
    assert await files(artifacts) == [kept.path]


async def test_what_a_killed_writer_leaves_is_swept(artifacts: Artifacts) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER, artifacts.location.url, JOB], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdout.readline() == "written\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert await artifacts.of(JOB) == [] and await files(artifacts) == []
    in_three_days = datetime.now(UTC) + timedelta(days=3)
    swept = await artifacts.sweep(WEEK, in_three_days)
    if artifacts.location.folder is None:  # a bucket drops unfinished uploads by a rule of its own
        return
    assert swept.orphans == 1 and swept.freed_bytes >= PART_BYTES
    assert [path for path in artifacts.location.folder.rglob("*") if path.is_file()] == []
