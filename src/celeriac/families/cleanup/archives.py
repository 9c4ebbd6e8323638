"""Archives: rows on disk, proved to be there before the database forgets them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from celeriac.core.errors import NotInstalled
from celeriac.core.extras import absent, advice
from celeriac.families.cleanup.archives_csv import CsvArchive
from celeriac.families.cleanup.archives_folder import checked_name, in_thread, prepare_folder
from celeriac.families.cleanup.archives_model import Archive, ArchiveColumn, Format, Member


async def open_archive(
    form: Format, folder: Path, name: str, columns: Sequence[ArchiveColumn], *, committed: Sequence[Member] = ()
) -> Archive:
    """Open the archive of one table in one run, to append chunks to it.

    Read `committed` after the lease was taken: what is not in it is cut off, as no transaction can commit it any more.

    Args:
        form: what to write.
        folder: where. It is created, if its parent exists.
        name: how its files' names begin. It has to be the same when the run goes on.
        columns: the table's columns, in the order of the rows.
        committed: the members that the database knows, in their order. Those of other machines may be among them.

    Raises:
        StorageUnavailable: the folder or a file in it cannot be used.
        StorageFull: there is no room.
        ArchiveDamaged: a file is not what was committed.
        ArchiveRefused: the name cannot be used.
        NotInstalled: Parquet needs the extra `parquet`.
    """
    checked_name(name)
    await in_thread(lambda: prepare_folder(folder))
    if form == "csv.gz":
        archive = CsvArchive(folder, name, columns, committed)
        await archive.open()
        return archive
    if absent(["pyarrow"]):
        raise NotInstalled(f"archives as Parquet need pyarrow: {advice('celeriac[parquet]')}")
    from celeriac.families.cleanup.archives_parquet import ParquetArchive

    archive = ParquetArchive(folder, name, columns, committed)
    await archive.open()
    return archive
