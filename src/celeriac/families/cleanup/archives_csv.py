"""Archives as CSV.gz: a file for each run and machine, to which every chunk is appended as a gzip member.

Gzip members that follow one another are one gzip file (RFC 1952), so `zcat` reads it as one CSV. The first member is
the line with the columns' names.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from celeriac.core.errors import CeleriacError
from celeriac.families.cleanup.archives_cells import (
    kind_named,
    kind_of_column,
    write_column,
)
from celeriac.families.cleanup.archives_folder import (
    create,
    lock,
    read_back,
    reopen,
    sync_folder,
    translated,
    write_all,
)
from celeriac.families.cleanup.archives_members import check_member, check_members, decode, pack
from celeriac.families.cleanup.archives_model import (
    ArchiveColumn,
    ArchiveFile,
    ColumnEntry,
    Manifest,
    Member,
    completed,
    leftovers,
    manifest_path,
    read_manifest,
    write_manifest,
)
from celeriac.families.cleanup.archives_threaded import ThreadedArchive, check_unchanged, refuse_all_but_last

_ENDING = ".csv.gz"


class CsvArchive(ThreadedArchive):
    """An archive as CSV.gz. Its file is created with the first chunk, whose values say what the columns are."""

    _segment: _Segment | None = None

    def _open(self) -> None:
        with translated(self._folder):
            _remove(leftovers(self._folder, self._name, _ENDING, self._members))
        self._segment = _Segment.resume(self._folder, self._columns, self._members)

    def _write(self, columns: Sequence[Sequence[Any]], count: int) -> Member:
        if self._segment is None:
            self._segment = _Segment.begin(self._folder, self._name, self._columns, columns)
        try:
            return self._segment.append(columns, count)
        except (CeleriacError, OSError):
            self._is_closed = True
            raise

    def _truncate(self, member: Member) -> None:
        segment = self._segment
        refuse_all_but_last([] if segment is None else segment.members, member)
        if segment is not None:
            segment.cut(member.offset)

    def _complete(self) -> list[ArchiveFile]:
        own = [] if self._segment is None else self._segment.complete()
        return [*self._earlier(), *own]

    def _earlier(self) -> Iterator[ArchiveFile]:
        """Complete the other files of the run that are here."""
        current = "" if self._segment is None else self._segment.file
        for file in dict.fromkeys(member.file for member in self._members):
            members = [member for member in self._members if member.file == file]
            if file != current and (segment := _Segment.reopen(self._folder / file, members)) is not None:
                try:
                    yield from segment.complete()
                finally:
                    segment.release()

    def _release(self) -> None:
        super()._release()
        if self._segment is not None:
            self._segment.release()
        self._segment = None


class _Segment:
    """One open file. The lock on it tells other processes that somebody writes to it."""

    def __init__(self, path: Path, opened: int, columns: Sequence[ColumnEntry], members: Sequence[Member]) -> None:
        self._path = path
        self._opened = opened
        self._columns = columns
        self._kinds = [kind_named(column.kind) for column in columns]
        self.members = list(members)
        self.end = members[-1].end if members else os.fstat(opened).st_size

    @property
    def file(self) -> str:
        """The file's name."""
        return self._path.name

    @classmethod
    def begin(
        cls, folder: Path, name: str, columns: Sequence[ArchiveColumn], values: Sequence[Sequence[object]]
    ) -> _Segment:
        """Create a file, with its first line."""
        kinds = [kind_of_column(column) for column in values]
        entries = [
            ColumnEntry(name=column.name, kind=kind.name, type=column.type)
            for column, kind in zip(columns, kinds, strict=True)
        ]
        head = pack([[column.name] for column in columns])
        path = folder / f"{name}.{secrets.token_hex(4)}{_ENDING}"
        with translated(path):
            opened = create(path)
            try:
                lock(opened)
                write_all(opened, head, 0)
                write_manifest(path, Manifest(format="csv.gz", columns=entries))
                sync_folder(folder)
                return cls(path, opened, entries, [])
            except BaseException:
                os.close(opened)
                path.unlink(missing_ok=True)
                raise

    @classmethod
    def resume(cls, folder: Path, columns: Sequence[ArchiveColumn], committed: Sequence[Member]) -> _Segment | None:
        """Open the file of the last committed member, if it is here and still fits, and cut off its tail.

        Raises:
            ArchiveDamaged: it is here, but is not what was committed.
        """
        if not committed:
            return None
        segment = cls.reopen(
            folder / committed[-1].file, [member for member in committed if member.file == committed[-1].file]
        )
        if segment is not None and not segment.has(columns):
            segment.release()  # the table was altered since: a new file
            return None
        return segment

    @classmethod
    def reopen(cls, path: Path, members: Sequence[Member]) -> _Segment | None:
        """Open a file with what is committed of it; None if it is not here, or another process writes to it.

        Raises:
            ArchiveDamaged: it is here, but is not what was committed.
        """
        with translated(path):
            try:
                opened = reopen(path, write=True)
            except FileNotFoundError:  # another machine has it
                return None
            try:
                if not lock(opened):  # a worker that has lost its lease, and does not know that yet
                    os.close(opened)
                    return None
                check_member(path, opened, members[-1])
                segment = cls(path, opened, read_manifest(path).columns, members)
                segment.cut(segment.end)
                return segment
            except BaseException:
                os.close(opened)
                raise

    def has(self, columns: Sequence[ArchiveColumn]) -> bool:
        """Return whether these are its columns."""
        return [column.name for column in self._columns] == [column.name for column in columns]

    def append(self, columns: Sequence[Sequence[object]], count: int) -> Member:
        """Write a member, and read it again."""
        cells = [write_column(column, kind) for column, kind in zip(columns, self._kinds, strict=True)]
        data = pack(cells)
        member = Member(self._path.name, self.end, len(data), count, hashlib.sha256(data).hexdigest())
        with translated(self._path):
            try:
                write_all(self._opened, data, self.end)
                found = read_back(self._path, self._opened, self.end, len(data))
                check_unchanged(self._path, self._columns, columns, decode(self._path, member, found, self._kinds))
            except BaseException:
                with suppress(OSError):  # the first error says more
                    os.ftruncate(self._opened, self.end)
                raise
        self.members.append(member)
        self.end = member.end
        return member

    def cut(self, end: int) -> None:
        """Take back what begins at that offset."""
        with translated(self._path):
            os.ftruncate(self._opened, end)
        while self.members and self.members[-1].offset >= end:
            self.members.pop()
        self.end = end

    def complete(self) -> list[ArchiveFile]:
        """Read all of it once more, and write the manifest. A file without rows is removed."""
        with translated(self._path):
            if not self.members:
                _remove([self._path])
                return []
            sha256 = check_members(self._path, self._opened, self.members)
            file = ArchiveFile(self._path, sum(member.rows for member in self.members), self.end, sha256)
            write_manifest(self._path, completed("csv.gz", self._columns, [file], self.members))
            return [file]

    def release(self) -> None:
        """Close the file, which gives up the lock."""
        os.close(self._opened)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        manifest_path(path).unlink(missing_ok=True)
