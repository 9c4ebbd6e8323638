"""Artifacts: the files that jobs make. One that is listed is complete, and its content never changes.

Layout in the storage:

    artifacts/records/JOB/NAME.json          what is known of an artifact; the artifact is there while this is
    artifacts/files/JOB/TOKEN/NAME           its content, under a token of its own for each time it is written

The content is written first, and the record after it. So there is no record without its file, and a run that repeats
another's work replaces the record in one step, while readers of the former content go on. What a crash leaves is a
file that no record names; `sweep` deletes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celeriac.core.artifact import Artifact
from celeriac.core.errors import FileTooLarge, InvalidFileName, StorageFull, TooManyFiles, UnknownArtifact
from celeriac.core.ids import is_valid_id, new_id
from celeriac.storage.content import Content
from celeriac.storage.location import Location
from celeriac.storage.names import checked_name
from celeriac.storage.records import decoded, encoded

_RECORDS = "artifacts/records"
_FILES = "artifacts/files"
#: A file without a record may be about to get one for so long after it was written.
_GRACE = timedelta(hours=1)
#: A file that is being written aside may be for so long: a job may take a day.
_WRITING = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may keep.

    Attributes:
        file_bytes: the size of one file.
        job_bytes: of all its files together.
        job_files: how many files.
    """

    file_bytes: int
    job_bytes: int
    job_files: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has deleted: artifacts whose time is over, files without a record, and the bytes of both."""

    expired: int
    orphans: int
    freed_bytes: int


class Artifacts:
    """The artifacts of all jobs. Every method may raise `StorageUnavailable`."""

    def __init__(self, location: Location, limits: Limits) -> None:
        self.location = location
        self.limits = limits

    async def begin(self, job_id: str, name: str) -> Content:
        """Begin to write a file of the job; `publish` makes it an artifact.

        Raises:
            InvalidFileName: the name cannot be one.
            TooManyFiles: the job has as many as it may.
        """
        name = checked_name(name)
        limit, setting = min(
            (self.limits.file_bytes, "CELERIAC_MAX_FILE_BYTES"),
            (await self._room(job_id, name), "CELERIAC_MAX_JOB_ARTIFACT_BYTES"),
        )
        return Content(self.location.writer(f"{_FILES}/{job_id}/{new_id()}/{name}"), name, limit=limit, setting=setting)

    async def publish(self, job_id: str, content: Content) -> Artifact:
        """Complete the file, and make it the artifact of its name. Deletes what had that name before.

        Raises:
            TooManyFiles, FileTooLarge: files that the job wrote meanwhile have used up the room.
        """
        facts = await content.close()
        artifact = Artifact(job_id=job_id, created_at=datetime.now(UTC), **facts)
        record = _record_path(job_id, artifact.name)
        try:
            if artifact.size > await self._room(job_id, artifact.name):
                raise FileTooLarge(
                    f"the artifacts of a job may have {self.limits.job_bytes:,} bytes together "
                    "(CELERIAC_MAX_JOB_ARTIFACT_BYTES)"
                )
            former = await self._record(record)
            await self.location.put(record, encoded(artifact))
        except (TooManyFiles, FileTooLarge, StorageFull):  # after another fault, the record may be there
            await self.location.delete([artifact.path])
            raise
        if former is not None:
            await self.location.delete([former.path])
        return artifact

    async def of(self, job_id: str) -> list[Artifact]:
        """The artifacts of a job, by name."""
        if not is_valid_id(job_id):
            return []
        paths = [found.path async for found in self.location.list(f"{_RECORDS}/{job_id}/")]
        records = await asyncio.gather(*map(self._record, paths))
        return sorted((record for record in records if record is not None), key=lambda artifact: artifact.name)

    async def get(self, job_id: str, name: str) -> Artifact:
        """The job's artifact of that name.

        Raises:
            UnknownArtifact: there is none.
        """
        try:
            path = _record_path(job_id, checked_name(name))
        except InvalidFileName:
            raise UnknownArtifact(job_id, name) from None
        found = await self._record(path) if is_valid_id(job_id) else None
        if found is None:
            raise UnknownArtifact(job_id, name)
        return found

    def stream(self, artifact: Artifact, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the content from byte `start` up to and without `end`.

        Raises:
            FileNotFoundError: it has been deleted or replaced meanwhile.
        """
        return self.location.stream(artifact.path, start, end)

    async def delete(self, job_id: str) -> int:
        """Delete all artifacts of a job, and say how many there were."""
        found = await self.of(job_id)
        for artifact in found:
            await self._forget(artifact)
        return len(found)

    async def withdraw(self, artifact: Artifact) -> None:
        """Delete an artifact, unless another of its name has replaced it."""
        found = await self._record(_record_path(artifact.job_id, artifact.name))
        if found is not None and found.path == artifact.path:
            await self._forget(artifact)

    async def sweep(self, retention: timedelta, now: datetime | None = None) -> Swept:
        """Delete artifacts older than `retention`, and what crashes have left behind. May run anywhere, any time."""
        now = now or datetime.now(UTC)
        expired, orphans, freed, named = 0, 0, 0, set[str]()
        files = [found async for found in self.location.list(f"{_FILES}/")]  # before the records: see `_GRACE`
        async for found in self.location.list(f"{_RECORDS}/"):
            record = await self._record(found.path)
            if record is None:
                if now - found.modified > _GRACE:  # it cannot be read
                    await self.location.delete([found.path])
                continue
            named.add(record.path)
            if now - record.created_at > retention:
                await self._forget(record)
                expired, freed = expired + 1, freed + record.size
        for file in files:
            if file.path not in named and now - file.modified > _GRACE:
                await self.location.delete([file.path])
                orphans, freed = orphans + 1, freed + file.size
        for aside in self.location.delete_aside(("artifacts", "uploads"), _WRITING, now):
            freed, orphans = freed + aside.size, orphans + 1
        self.location.drop_empty_folders("artifacts", _GRACE, now)
        return Swept(expired, orphans, freed)

    async def _forget(self, artifact: Artifact) -> None:
        """Delete the record before its file: in between there is an orphan, and never a record without a file."""
        await self.location.delete([_record_path(artifact.job_id, artifact.name)])
        await self.location.delete([artifact.path])

    async def _record(self, path: str) -> Artifact | None:
        return decoded(Artifact, await self.location.read(path), path)

    async def _room(self, job_id: str, name: str) -> int:
        """How many bytes are left for the job's file of that name. The files tell, so that no record is read.

        Raises:
            TooManyFiles: the job has as many others as it may.
        """
        kept = [found async for found in self.location.list(f"{_FILES}/{job_id}/")]
        others = {found.path: found.size for found in kept if found.path.rpartition("/")[2] != name}
        if len(others) >= self.limits.job_files:
            raise TooManyFiles(
                f"job {job_id} has {len(others)} artifacts, which is as many as a job may have "
                "(CELERIAC_MAX_JOB_ARTIFACTS)"
            )
        return self.limits.job_bytes - sum(others.values())


def _record_path(job_id: str, name: str) -> str:
    return f"{_RECORDS}/{job_id}/{name}.json"
