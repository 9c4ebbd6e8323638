"""What archives are made of: columns, members, files, and the manifest beside a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from celeriac.families.cleanup.archives_cells import Row
from celeriac.families.cleanup.archives_folder import read_at, reopen, replace_file
from celeriac.families.cleanup.errors import ArchiveDamaged

Format = Literal["csv.gz", "parquet"]


@dataclass(frozen=True, slots=True)
class ArchiveColumn:
    """A column of the table. `type` is its SQL type, for people."""

    name: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """The rows of one chunk in an archive: where they are, how many, and the SHA-256 of these bytes of the file."""

    file: str
    offset: int
    length: int
    rows: int
    sha256: str

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive that is complete."""

    path: Path
    rows: int
    bytes: int
    sha256: str


class Archive(Protocol):
    """An archive that rows are appended to, a chunk at a time. One task at a time may use it."""

    async def append(self, rows: Sequence[Row]) -> Member:
        """Write the rows of a chunk, and return when they are on disk, were read again from there, and are the same.

        A call that fails or is cancelled leaves nothing behind.

        Raises:
            StorageFull: the disk is full.
            StorageUnavailable: the file cannot be written. The archive cannot be used any more: open it again.
            ArchiveDamaged: what was read is not what was written.
            ArchiveRefused: a value cannot be archived without loss.
        """
        ...

    async def truncate(self, member: Member) -> None:
        """Take back the last member: its transaction was not committed."""
        ...

    async def close(self) -> list[ArchiveFile]:
        """Read the files once more, write their manifests, and return those of this machine. Each member is committed.

        Raises:
            ArchiveDamaged: a file has changed since it was written.
        """
        ...

    async def release(self) -> None:
        """Close the files as they are: it is not known whether the last member is committed. Open it again later."""
        ...


class ColumnEntry(BaseModel):
    """A column, as the manifest has it."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    type: str = ""


class MemberEntry(BaseModel):
    """A member, as the manifest has it."""

    model_config = ConfigDict(frozen=True)

    file: str
    offset: int
    length: int
    rows: int
    sha256: str

    def member(self) -> Member:
        """Return it as archives have it."""
        return Member(self.file, self.offset, self.length, self.rows, self.sha256)


class FileEntry(BaseModel):
    """A file, as the manifest has it."""

    model_config = ConfigDict(frozen=True)

    file: str
    rows: int
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What stands in the JSON file beside the files of an archive. Only a complete one has files and members."""

    version: Literal[1] = 1
    format: Format
    columns: Sequence[ColumnEntry]
    complete: bool = False
    rows: int = 0
    files: Sequence[FileEntry] = ()
    members: Sequence[MemberEntry] = ()


def stem_of(file: str) -> str:
    """Return what a file's name has in common with that of its manifest."""
    if file.endswith(".parquet"):
        return file.removesuffix(".parquet").rpartition(".")[0]
    return file.removesuffix(".csv.gz")


def manifest_path(path: Path) -> Path:
    """Return where the manifest of an archive's file is."""
    return path.with_name(f"{stem_of(path.name)}.json")


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest of the file at `path`."""
    replace_file(manifest_path(path), manifest.model_dump_json(indent=1).encode() + b"\n")


def completed(
    form: Format, columns: Sequence[ColumnEntry], files: Sequence[ArchiveFile], members: Sequence[Member]
) -> Manifest:
    """Return the manifest of files that are complete."""
    return Manifest(
        format=form,
        columns=columns,
        complete=True,
        rows=sum(file.rows for file in files),
        files=[FileEntry(file=one.path.name, rows=one.rows, bytes=one.bytes, sha256=one.sha256) for one in files],
        members=[MemberEntry.model_validate(one, from_attributes=True) for one in members],
    )


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the file at `path`.

    Raises:
        ArchiveDamaged: it is not there, or is none.
    """
    place = manifest_path(path)
    try:
        opened = reopen(place)
    except FileNotFoundError:
        raise ArchiveDamaged(f"{path} has no manifest: {place.name} is missing beside it") from None
    try:
        data = read_at(opened, 0, os.fstat(opened).st_size)
    finally:
        os.close(opened)
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ArchiveDamaged(f"{place} is no manifest of an archive: {where}: {first['msg']}") from None


def leftovers(folder: Path, name: str, ending: str, committed: Sequence[Member]) -> list[Path]:
    """Return the files of an archive of that name that no transaction has committed, and no manifest calls complete."""
    known = {member.file for member in committed}
    found = [path for path in folder.iterdir() if _is_file_of(path.name, name, ending) and path.name not in known]
    return [path for path in found if not is_complete(path)]


def _is_file_of(file: str, name: str, ending: str) -> bool:
    stem = stem_of(file)
    return file.endswith(ending) and stem.startswith(f"{name}.") and "." not in stem.removeprefix(f"{name}.")


def is_complete(path: Path) -> bool:
    """Return whether a manifest says that the file is complete."""
    try:
        return path.name in [one.file for one in read_manifest(path).files]
    except ArchiveDamaged:
        return False
