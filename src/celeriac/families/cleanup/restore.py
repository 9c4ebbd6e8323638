"""Restores archives: rows go back to their table, or to another one, a chunk at a time.

An archive is checked as a whole before its first row is written. A restore that was stopped is simply begun again: rows
whose key is there already are left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import Connection

from celeriac.core.errors import NotInstalled
from celeriac.core.extras import absent, advice
from celeriac.database.engine import Database
from celeriac.families.cleanup.archives_cells import kind_named
from celeriac.families.cleanup.archives_folder import in_thread, read_at, reopen, translated
from celeriac.families.cleanup.archives_members import check_member, decode
from celeriac.families.cleanup.archives_model import Manifest, Member, read_manifest
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused
from celeriac.families.cleanup.keys import read_position
from celeriac.families.cleanup.records import Putting
from celeriac.families.cleanup.restore_rows import Inserting, OnConflict
from celeriac.families.cleanup.restore_tables import CopiedChunk, Copying, Key

_PIECE = 1 << 20

#: Is called after each transaction with the rows that are done, and those of the whole archive.
Progress = Callable[[int, int], None]
#: Is called in each transaction with the rows that it has written, and where they were: in a file, or up to which key.
Record = Callable[[Connection, int, Member | None, Key | None], None]


class Restored(BaseModel):
    """What a restore has done."""

    rows: int = 0
    """Rows of the archive."""
    restored: int = 0
    """Rows that were written."""
    skipped: int = 0
    """Rows whose key was in the table already."""

    def plus(self, other: Restored) -> Restored:
        """Return the sum of both."""
        return Restored(
            rows=self.rows + other.rows,
            restored=self.restored + other.restored,
            skipped=self.skipped + other.skipped,
        )


@dataclass(frozen=True, slots=True)
class _File:
    """A file of an archive, and what is in it."""

    path: Path
    manifest: Manifest
    members: Sequence[Member]
    sha256: str | None


async def restore(
    database: Database,
    source: Sequence[Path] | TableName,
    table: TableName,
    *,
    on_conflict: OnConflict = "skip",
    committed: Sequence[Member] = (),
    progress: Progress | None = None,
    record: Record | None = None,
    before: Sequence[Putting] = (),
) -> Restored:
    """Write the rows of an archive into a table.

    Args:
        database: where the table is.
        source: the archive's files (not the manifests), or the table that is the archive.
        table: the table, which has to exist.
        on_conflict: what to do with a row whose key is in the table: `skip` it, or `fail`, which undoes its chunk.
        committed: members that the audit knows, for files of runs that ended on another machine.
        progress: is called after each transaction.
        record: is called in each of them.
        before: what an earlier attempt has recorded. It is not written again.

    Raises:
        ArchiveDamaged: a file has changed since it was written. Nothing was restored.
        ArchiveRefused: the rows cannot be written. The message says why, and which.
        StorageUnavailable: a file cannot be read.
    """
    tell, note = progress or _tell_nobody, record or _note_nothing
    if isinstance(source, TableName):
        return await _from_table(database, source, table, on_conflict, tell, note, before)
    files = [await in_thread(lambda path=path: _checked(path, committed)) for path in source]
    if not files:
        raise ArchiveRefused("name at least one file of an archive")
    result = Restored(rows=sum(member.rows for file in files for member in file.members))
    done, known = 0, {(one.file, one.offset): one.rows for one in before}
    for file in files:
        names = [column.name for column in file.manifest.columns]
        inserting = await database.look(
            lambda connection, names=names: Inserting.plan(connection, table, names, on_conflict)
        )
        for member in file.members:
            if (rows := known.get((member.file, member.offset))) is not None:
                done += member.rows
                result.restored += rows
                result.skipped += member.rows - rows
                continue
            columns = await in_thread(lambda file=file, member=member: _read(file, member))

            def write(
                connection: Connection,
                inserting: Inserting = inserting,
                member: Member = member,
                columns: Sequence[Sequence[object]] = columns,
                place: str = f"{file.path}, byte {member.offset:,}",
            ) -> int:
                rows = inserting.insert(connection, columns, place)
                note(connection, rows, member, None)
                return rows

            count = await database.write(write)
            done += member.rows
            result.restored += count
            result.skipped += member.rows - count
            tell(done, result.rows)
    return result


def _tell_nobody(done: int, whole: int) -> None:
    pass


def _note_nothing(connection: Connection, rows: int, member: Member | None, last: Key | None) -> None:
    pass


async def _from_table(
    database: Database,
    source: TableName,
    table: TableName,
    on_conflict: OnConflict,
    tell: Progress,
    note: Record,
    before: Sequence[Putting],
) -> Restored:
    copying = await database.look(lambda connection: Copying.plan(connection, source, table, on_conflict))
    result = Restored(rows=copying.rows)
    done = 0
    after: Key | None = None
    if before:
        after = last = read_position(before[-1].last_key)[0] or ()
        done = await database.look(lambda connection: copying.count_up_to(connection, last))
        result.restored = sum(one.rows for one in before)
        result.skipped = done - result.restored
    while True:

        def copy(connection: Connection, after: Key | None = after) -> CopiedChunk | None:
            copied = copying.next(connection, after)
            if copied is not None:
                note(connection, copied.copied, None, copied.last)
            return copied

        step: CopiedChunk | None = await database.write(copy)
        if step is None:
            return result
        done += step.rows
        after = step.last
        result.restored += step.copied
        result.skipped += step.rows - step.copied
        tell(done, result.rows)


def _checked(path: Path, committed: Sequence[Member]) -> _File:
    """Read a file's manifest, and check that the file is what it says.

    Raises:
        ArchiveDamaged: it is not.
        ArchiveRefused: nobody knows what of it is committed.
    """
    with translated(path):
        manifest = read_manifest(path)
        file = _described(path, manifest, committed)
        if manifest.format == "parquet" and absent(["pyarrow"]):
            raise NotInstalled(f"archives as Parquet need pyarrow: {advice('celeriac[parquet]')}")
        try:
            opened = reopen(path)
        except FileNotFoundError:
            raise ArchiveDamaged(f"{path} is missing") from None
        try:
            for member in file.members:
                check_member(path, opened, member)
            if file.sha256 is not None and _sha256(opened) != file.sha256:
                raise ArchiveDamaged(f"{path} is damaged: its SHA-256 is not {file.sha256}")
        finally:
            os.close(opened)
    return file


def _described(path: Path, manifest: Manifest, committed: Sequence[Member]) -> _File:
    if manifest.complete:
        members = [one.member() for one in manifest.members if one.file == path.name]
        sha256 = next((one.sha256 for one in manifest.files if one.file == path.name), None)
        if sha256 is None or not members:
            raise ArchiveDamaged(f"the manifest of {path} does not name it")
        return _File(path, manifest, members, sha256)
    members = [member for member in committed if member.file == path.name]
    if not members:
        raise ArchiveRefused(
            f"{path} is not complete: its run has not ended, and rows in it may still be in their table. Let the run "
            "go on to its end, or cancel it"
        )
    return _File(path, manifest, members, None)


def _sha256(opened: int) -> str:
    whole = hashlib.sha256()
    for piece in _pieces(opened):
        whole.update(piece)
    return whole.hexdigest()


def _pieces(opened: int) -> Iterator[bytes]:
    offset = 0
    while piece := read_at(opened, offset, _PIECE):
        yield piece
        offset += len(piece)


def _read(file: _File, member: Member) -> list[Sequence[object]]:
    """Return the columns of a member, which is checked once more: much time may have passed."""
    with translated(file.path):
        opened = reopen(file.path)
        try:
            data = check_member(file.path, opened, member)
        finally:
            os.close(opened)
    if file.manifest.format == "parquet":
        from celeriac.families.cleanup import archives_parquet

        return archives_parquet.decode(file.path, member, data)
    return decode(file.path, member, data, [kind_named(column.kind) for column in file.manifest.columns])
