"""The members of a CSV.gz file: how rows become bytes, and how these are checked and read."""

from __future__ import annotations

import csv
import hashlib
import os
import zlib
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from celeriac.families.cleanup.archives_cells import Kind, columns_of, read_column
from celeriac.families.cleanup.archives_folder import read_at
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused

_GZIP = 31  # zlib's `wbits` for a gzip member
_LEVEL = 3  # level 6 takes twice the time for a tenth of the bytes
_END_OF_LINE, _QUOTE = "\r\n", '"'


def pack(columns: Sequence[Sequence[str]]) -> bytes:
    """Return columns of cells as a gzip member.

    Raises:
        ArchiveRefused: a cell is no Unicode.
    """
    try:
        data = _csv_text(columns).encode()
    except UnicodeEncodeError as error:
        raise ArchiveRefused(f"a text cannot be archived, for it is no Unicode: {error.reason}") from None
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(data) + packer.flush()


def _csv_text(columns: Sequence[Sequence[str]]) -> str:
    """Return what Python's CSV writer writes. That looks at each character, which takes twice as long."""
    quoted = list(map(_quoted, columns))
    if len(quoted) == 1:  # an empty line would be no row
        quoted = [[cell or '""' for cell in quoted[0]]]
    lines = map(",".join, zip(*quoted, strict=True))
    return _END_OF_LINE.join([*lines, ""])


def _quoted(cells: Sequence[str]) -> Sequence[str]:
    """Put those cells in quotes that need them."""
    if not _needs_quotes("".join(cells)):
        return cells
    return [f'"{cell.replace(_QUOTE, 2 * _QUOTE)}"' if _needs_quotes(cell) else cell for cell in cells]


def _needs_quotes(text: str) -> bool:
    return "," in text or _QUOTE in text or "\n" in text or "\r" in text


def check_member(path: Path, opened: int, member: Member) -> bytes:
    """Return the bytes of a member.

    Raises:
        ArchiveDamaged: they are not those that were written.
    """
    data = read_at(opened, member.offset, member.length)
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise ArchiveDamaged(f"{path}: {_place(member)} is damaged: its SHA-256 is not {member.sha256}")
    return data


def check_members(path: Path, opened: int, members: Sequence[Member]) -> str:
    """Check each member, and return the SHA-256 of the file.

    Raises:
        ArchiveDamaged: one has changed, or there is more or less in the file.
    """
    whole = hashlib.sha256(read_at(opened, 0, members[0].offset))
    place = members[0].offset
    for member in members:
        if member.offset != place:
            raise ArchiveDamaged(
                f"{path}: between the bytes {place:,} and {member.offset:,} is what nobody has written"
            )
        whole.update(check_member(path, opened, member))
        place = member.end
    size = os.fstat(opened).st_size
    if place != size:
        raise ArchiveDamaged(f"{path}: it has {size:,} bytes, of which {place:,} were written")
    return whole.hexdigest()


def decode(path: Path, member: Member, data: bytes, kinds: Sequence[Kind]) -> list[Sequence[object]]:
    """Return the columns of a member's bytes.

    Raises:
        ArchiveDamaged: they cannot be read, or there are more or fewer rows.
    """
    try:
        lines = _lines(_unpacked(data))
        columns = columns_of(lines, len(kinds))
        values = [read_column(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    except (ValueError, KeyError, ArithmeticError, zlib.error, csv.Error) as error:
        raise ArchiveDamaged(f"{path}: {_place(member)} cannot be read: {error}") from None
    if len(lines) != member.rows:
        raise ArchiveDamaged(f"{path}: {_place(member)} has {len(lines):,} rows, and should have {member.rows:,}")
    return values


def _place(member: Member) -> str:
    return f"the member at byte {member.offset:,}"


def _lines(text: str) -> list[list[str]]:
    if _QUOTE not in text:
        return [line.split(",") for line in text.removesuffix(_END_OF_LINE).split(_END_OF_LINE)]
    if csv.field_size_limit() < len(text):
        csv.field_size_limit(len(text))  # one for the whole process, and too small for large texts
    return list(csv.reader(StringIO(text, newline=""), strict=True))


def _unpacked(data: bytes) -> str:
    reader = zlib.decompressobj(_GZIP)
    text = reader.decompress(data)
    if not reader.eof or reader.unused_data:
        raise ValueError("it is not one whole gzip member")
    return text.decode()
