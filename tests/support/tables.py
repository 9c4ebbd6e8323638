"""Files with tables, honest and hostile."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import xlsxwriter

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def workbook(path: Path, rows: list[list[Any]], *, sheet: str = "Orders") -> Path:
    """An XLSX file with these rows on its second sheet, after one with notes."""
    with xlsxwriter.Workbook(str(path), {"default_date_format": "yyyy-mm-dd"}) as book:
        written = book.add_worksheet(sheet)
        for number, row in enumerate(rows):
            written.write_row(number, 0, row)
        book.add_worksheet("Notes").write_row(0, 0, ["nothing", "here"])
    return path


def bomb(path: Path, megabytes: int, *, claims: int | None = None) -> Path:
    """An XLSX file with a part of so many megabytes of zeros; its directory may claim another size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("xl/worksheets/sheet1.xml", "w") as part:
            for _ in range(megabytes):
                part.write(bytes(1_000_000))
    if claims is not None:
        content = path.read_bytes()
        true = struct.pack("<I", megabytes * 1_000_000)
        path.write_bytes(content.replace(true, struct.pack("<I", claims)))
    return path


def changed(path: Path, part: str, old: bytes, new: bytes, *, packed: bool = True) -> Path:
    """A copy of the workbook, one part of which has `new` in place of `old`."""
    copy = path.with_name(f"changed-{path.name}")
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(copy, "w", kind) as archive:
        for name in given.namelist():
            content = given.read(name)
            assert name != part or old in content
            archive.writestr(name, content.replace(old, new) if name == part else content)
    return copy
