"""Chooses how an uploaded file is read: by what it is, and never by its name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from celeriac.families.reports.errors import DataInvalid
from celeriac.families.reports.sources.data import Data

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PARQUET = "application/vnd.apache.parquet"
_TEXTS = ("text/csv", "text/plain", "text/tab-separated-values")


@asynccontextmanager
async def read_upload(
    name: str, content_type: str, path: Path, *, sheet: str | None, unpacked_bytes: int, longest_cell: int
) -> AsyncGenerator[Data]:
    """Give the rows of the file at `path`, which its sender named `name`, and whose content was found to be that type.

    Raises:
        DataInvalid, DataTooLarge: the file is no table, is broken, or is too large when it is unpacked.
    """
    if content_type == _XLSX or content_type == "application/zip":  # a ZIP may be XLSX whose parts are in another order
        from celeriac.families.reports.sources.xlsx_file import read_xlsx

        reading = read_xlsx(name, path, sheet, unpacked_bytes)
    elif content_type == _PARQUET:
        from celeriac.families.reports.sources.parquet_file import read_parquet

        reading = read_parquet(name, path, unpacked_bytes)
    elif content_type in _TEXTS:
        from celeriac.families.reports.sources.csv_file import read_csv

        reading = read_csv(name, path, longest_cell)
    else:
        raise DataInvalid(f"{name} is {content_type}; send CSV, XLSX or Parquet")
    async with reading as data:
        yield data
