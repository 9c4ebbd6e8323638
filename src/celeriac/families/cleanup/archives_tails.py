"""Cuts from archives what no transaction has committed: rows that are in their table as well."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from celeriac.core.errors import CeleriacError
from celeriac.families.cleanup.archives_folder import in_thread, lock, reopen, translated
from celeriac.families.cleanup.archives_model import is_complete, manifest_path

log = logging.getLogger("celeriac")

_ENDINGS = (".csv.gz", ".parquet")


async def cut_tails(folder: Path, begins: str, ends: Mapping[str, int]) -> None:
    """Cut the files of a run that are here to what is committed, and remove those of which nothing is.

    Nobody may be able to commit more: its lock is the caller's, or was taken away. What goes wrong is logged: restores
    take what is committed, whatever is behind it.

    Args:
        folder: of archives, which may be missing.
        begins: how names of the run's archives begin.
        ends: where what is committed ends, by the names of files.
    """
    try:
        await in_thread(lambda: _cut_all(folder, begins, ends))
    except CeleriacError as error:
        log.warning("archives %s… may have rows at their ends that are in the table as well: %s", begins, error)


def _cut_all(folder: Path, begins: str, ends: Mapping[str, int]) -> None:
    with translated(folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            number = path.name.removeprefix(begins).partition("-")[0]
            if path.name.startswith(begins) and path.name.endswith(_ENDINGS) and number.isdigit():
                _cut(path, ends.get(path.name))


def _cut(path: Path, end: int | None) -> None:
    try:
        opened = reopen(path, write=True)
    except FileNotFoundError:
        return  # somebody else has removed it
    try:
        if not lock(opened):
            return  # its worker hangs: it cuts the file itself, when it goes on
        if end is None and not is_complete(path):
            path.unlink(missing_ok=True)
            manifest_path(path).unlink(missing_ok=True)
        elif end is not None and os.fstat(opened).st_size > end:
            os.ftruncate(opened, end)
    finally:
        os.close(opened)
