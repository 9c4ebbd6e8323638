"""Reads XLSX files: a sheet whose first row has the names of the columns."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from celeriac.families.reports.errors import DataInvalid, DataTooLarge
from celeriac.families.reports.sources.data import BATCH_ROWS, Data, Row

_PIECE = 262_144
_MOST_PARTS = 10_000
_LOCAL_HEADER = 30
#: What the reader takes for a cell.
_CELL_BYTES = 32
#: The place of a cell, `r="AB12"`, or of a row, `r = "12"`, where each run of spaces is one.
_PLACE = re.compile(rb"""\sr\s?=\s?["']([A-Za-z]{0,7})([0-9]{1,11})""")
_LONGEST_PLACE = 24
_MOST_DIGITS = 10


@asynccontextmanager
async def read_xlsx(name: str, path: Path, sheet: str | None, unpacked_bytes: int) -> AsyncGenerator[Data]:
    """Give the rows of a sheet of the file at `path`, by default the first one.

    Raises:
        DataTooLarge: it is larger than `unpacked_bytes` when it is unpacked.
        DataInvalid: it is not a workbook, or has no such sheet.
    """
    check_unpacked(name, path, unpacked_bytes)
    import python_calamine

    try:
        with cast(Any, python_calamine).load_workbook(str(path)) as workbook:
            names = workbook.sheet_names
            if not names:
                raise DataInvalid(f"{name} has no sheets")
            if sheet is not None and sheet not in names:
                raise DataInvalid(f"{name} has no sheet {sheet!r}; it has {', '.join(names[:20])}")
            chosen = workbook.get_sheet_by_name(sheet or names[0])
            rows = iter(chosen.iter_rows())
            header = next((row for row in rows if any(cell != "" for cell in row)), None)
            if header is None:
                raise DataInvalid(f"{name}, sheet {chosen.name!r}: is empty; its first row has the columns' names")
            width = max(number for number, cell in enumerate(header, 1) if cell != "")
            yield Data(
                columns=[str(cell) for cell in header[:width]],
                batches=_batches(rows, width),
                texts="nothing",
                details={"file": name, "sheet": chosen.name},
            )
    except (python_calamine.CalamineError, OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DataInvalid | DataTooLarge):
            raise
        raise DataInvalid(f"{name} cannot be read as XLSX: {error}") from None


async def _batches(rows: Iterator[list[Any]], width: int) -> AsyncGenerator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        if all(cell == "" for cell in row):
            continue
        batch.append([_value(cell) for cell in [*row[:width], *[""] * (width - len(row))]])
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _value(cell: Any) -> Any:
    """Excel has one kind of number, and one of date: whole ones mean integers and days."""
    if cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return int(cell)
    if isinstance(cell, datetime) and not (cell.hour or cell.minute or cell.second or cell.microsecond):
        return date(cell.year, cell.month, cell.day)
    return cell


def check_unpacked(name: str, path: Path, most: int) -> None:
    """Unpack a ZIP file in pieces, and keep nothing: what its directory says of sizes may be a lie.

    Raises:
        DataTooLarge: there is more in it than `most` bytes.
        DataInvalid: it is not a ZIP file, or broken.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            parts = archive.infolist()
            if len(parts) > _MOST_PARTS:
                raise DataTooLarge(f"{name} has {len(parts):,} parts; is it an XLSX file?")
            left = most
            for part in parts:
                cells = _Cells()
                left -= _unpacked_size(file, part, left, cells)
                if left < 0 or cells.memory > most:
                    raise DataTooLarge(
                        f"{name} has more than {most // 1_000_000:,} MB when it is unpacked; "
                        "CELERIAC_REPORTS_UNPACKED_MB allows more"
                    )
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError) as error:
        raise DataInvalid(f"{name} cannot be read as XLSX: {error}") from None


class _Cells:
    """Finds out how large the table of a sheet is. A reader keeps room for each cell up to the last, empty or not."""

    def __init__(self) -> None:
        self._column = self._row = 0
        self._rest = b""

    @property
    def memory(self) -> int:
        """Bytes that the table takes."""
        return self._column * self._row * _CELL_BYTES

    def see(self, piece: bytes) -> None:
        """Look at what follows of the sheet's XML."""
        text = b" ".join((b"." + self._rest + piece + b".").split())[1:-1]  # any run of spaces is one
        for column, row in set(_PLACE.findall(text)):
            self._row = max(self._row, int(row) if len(row) <= _MOST_DIGITS else 10**_MOST_DIGITS)
            number = 0
            for letter in column.upper():
                number = number * 26 + letter - 64
            self._column = max(self._column, number)
        self._rest = text[-_LONGEST_PLACE:]


def _unpacked_size(file: BinaryIO, part: zipfile.ZipInfo, most: int, cells: _Cells) -> int:
    """Return how many bytes a part really has; it stops counting soon after `most`. `cells` sees them."""
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{part.filename[:100]} is packed in a way that XLSX does not know")
    if part.flag_bits & 1:
        raise zipfile.BadZipFile("it is encrypted")
    file.seek(part.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER:
        raise zipfile.BadZipFile("a part is missing")
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    is_packed = part.compress_type == zipfile.ZIP_DEFLATED
    unpacking = zlib.decompressobj(-15)
    size, left = 0, part.compress_size
    while left > 0 and size <= most and not unpacking.eof:
        packed = file.read(min(_PIECE, left))
        if not packed:
            break
        left -= len(packed)
        while packed and size <= most:
            piece = unpacking.decompress(packed, _PIECE) if is_packed else packed
            packed = unpacking.unconsumed_tail if is_packed else b""
            size += len(piece)
            cells.see(piece)
    return size
