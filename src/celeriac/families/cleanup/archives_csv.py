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

from celeriac.core.errors import CeleriacError
from celeriac.families.cleanup.archives_cells import (
    Row,
    columns_of,
    kind_named,
    kind_of_column,
    same_values,
    write_column,
)
from celeriac.families.cleanup.archives_folder import (
    create,
    in_thread,
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
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused

_ENDING = ".csv.gz"


class CsvArchive:
    """An archive as CSV.gz. Its file is created with the first chunk, whose values say what the columns are."""

    def __init__(
        self, folder: Path, name: str, columns: Sequence[ArchiveColumn], committed: Sequence[Member] = ()
    ) -> None:
        self._folder = folder
        self._name = name
        self._columns = columns
        self._committed = committed
        self._segment: _Segment | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Go on with the file of the last committed member, if it is here, and cut off what is not committed."""
        await in_thread(self._open)

    async def append(self, rows: Sequence[Row]) -> Member:
        """See `Archive`."""
        if self._is_closed:
            raise ArchiveRefused("the archive was closed, or could not be written: open it again")
        return await in_thread(lambda: self._append(rows), self._truncate)

    async def truncate(self, member: Member) -> None:
        """See `Archive`."""
        await in_thread(lambda: self._truncate(member))

    async def close(self) -> list[ArchiveFile]:
        """See `Archive`."""
        return await in_thread(self._close)

    async def release(self) -> None:
        """See `Archive`."""
        await in_thread(self._release)

    def _open(self) -> None:
        with translated(self._folder):
            _remove(leftovers(self._folder, self._name, _ENDING, self._committed))
        self._segment = _Segment.resume(self._folder, self._columns, self._committed)

    def _append(self, rows: Sequence[Row]) -> Member:
        if not rows:
            raise ArchiveRefused("a chunk without rows cannot be archived")
        columns = columns_of(rows, len(self._columns))
        if self._segment is None:
            self._segment = _Segment.begin(self._folder, self._name, self._columns, columns)
        try:
            return self._segment.append(columns, len(rows))
        except (CeleriacError, OSError):
            self._is_closed = True
            raise

    def _truncate(self, member: Member) -> None:
        if self._segment is None or not self._segment.ends_with(member):
            raise ArchiveRefused(f"{member.file}: only the last member can be taken back")
        self._segment.cut(member.offset)

    def _close(self) -> list[ArchiveFile]:
        try:
            own = [] if self._segment is None else self._segment.complete()
            return [*self._earlier(), *own]
        finally:
            self._release()

    def _earlier(self) -> Iterator[ArchiveFile]:
        """Complete the other files of the run that are here."""
        current = "" if self._segment is None else self._segment.file
        for file in dict.fromkeys(member.file for member in self._committed):
            members = [member for member in self._committed if member.file == file]
            if file != current and (segment := _Segment.reopen(self._folder / file, members)) is not None:
                try:
                    yield from segment.complete()
                finally:
                    segment.release()

    def _release(self) -> None:
        if self._segment is not None:
            self._segment.release()
        self._segment = None
        self._is_closed = True


class _Segment:
    """One open file. The lock on it tells other processes that somebody writes to it."""

    def __init__(self, path: Path, opened: int, columns: Sequence[ColumnEntry], members: Sequence[Member]) -> None:
        self._path = path
        self._opened = opened
        self._columns = columns
        self._kinds = [kind_named(column.kind) for column in columns]
        self._members = list(members)
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
        head = pack([[column.name for column in columns]])
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
        data = pack(zip(*cells, strict=True))
        member = Member(self._path.name, self.end, len(data), count, hashlib.sha256(data).hexdigest())
        with translated(self._path):
            try:
                write_all(self._opened, data, self.end)
                found = read_back(self._path, self._opened, self.end, len(data))
                self._compare(member, found, columns)
            except BaseException:
                with suppress(OSError):  # the first error says more
                    os.ftruncate(self._opened, self.end)
                raise
        self._members.append(member)
        self.end = member.end
        return member

    def _compare(self, member: Member, found: bytes, written: Sequence[Sequence[object]]) -> None:
        again = decode(self._path, member, found, self._kinds)
        for column, one, other in zip(self._columns, written, again, strict=True):
            if list(one) != list(other) and not same_values(one, other):
                raise ArchiveDamaged(
                    f"{self._path}: values of the column {column.name!r} changed when they were written"
                )

    def ends_with(self, member: Member) -> bool:
        """Return whether it is the last member here."""
        return bool(self._members) and self._members[-1] == member

    def cut(self, end: int) -> None:
        """Take back what begins at that offset."""
        with translated(self._path):
            os.ftruncate(self._opened, end)
        while self._members and self._members[-1].offset >= end:
            self._members.pop()
        self.end = end

    def complete(self) -> list[ArchiveFile]:
        """Read all of it once more, and write the manifest. A file without rows is removed."""
        with translated(self._path):
            if not self._members:
                _remove([self._path])
                return []
            sha256 = check_members(self._path, self._opened, self._members)
            file = ArchiveFile(self._path, sum(member.rows for member in self._members), self.end, sha256)
            write_manifest(self._path, completed("csv.gz", self._columns, [file], self._members))
            return [file]

    def release(self) -> None:
        """Close the file, which gives up the lock."""
        os.close(self._opened)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        manifest_path(path).unlink(missing_ok=True)
