"""What archives of all formats have in common: they write in a thread, and read what they have written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celeriac.families.cleanup.archives_cells import Row, columns_of, same_values
from celeriac.families.cleanup.archives_folder import in_thread
from celeriac.families.cleanup.archives_model import ArchiveColumn, ArchiveFile, ColumnEntry, Member
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused


class ThreadedArchive(ABC):
    """An archive of a run's rows of one table. See `Archive`."""

    def __init__(
        self, folder: Path, name: str, columns: Sequence[ArchiveColumn], committed: Sequence[Member] = ()
    ) -> None:
        self._folder = folder
        self._name = name
        self._columns = columns
        self._members = list(committed)
        self._is_closed = False

    async def open(self) -> None:
        """Cut off what no transaction has committed."""
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

    def _append(self, rows: Sequence[Row]) -> Member:
        if not rows:
            raise ArchiveRefused("a chunk without rows cannot be archived")
        return self._write(columns_of(rows, len(self._columns)), len(rows))

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _write(self, columns: Sequence[Sequence[Any]], count: int) -> Member: ...

    @abstractmethod
    def _truncate(self, member: Member) -> None: ...

    @abstractmethod
    def _complete(self) -> list[ArchiveFile]:
        """Check the files of the run that are here, and write their manifests."""

    def _close(self) -> list[ArchiveFile]:
        try:
            return self._complete()
        finally:
            self._release()

    def _release(self) -> None:
        self._is_closed = True


def check_unchanged(
    path: Path,
    columns: Sequence[ArchiveColumn | ColumnEntry],
    written: Sequence[Sequence[Any]],
    again: Sequence[Sequence[Any]],
) -> None:
    """
    Raises:
        ArchiveDamaged: what was read again is not what was written.
    """
    for column, one, other in zip(columns, written, again, strict=True):
        if list(one) != list(other) and not same_values(one, other):
            raise ArchiveDamaged(f"{path}: values of the column {column.name!r} changed when they were written")


def refuse_all_but_last(members: Sequence[Member], member: Member) -> None:
    """
    Raises:
        ArchiveRefused: another member was written after it.
    """
    if not members or members[-1] != member:
        raise ArchiveRefused(f"{member.file}: only the last member can be taken back")
