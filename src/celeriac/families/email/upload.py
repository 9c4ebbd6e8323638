"""Reads the lines of an uploaded file, and refuses files that are not text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from celeriac.families.email.faults import invalid

_MAX_LINE = 1_000_000

#: The first bytes of files that people often upload as CSV, and what these files are.
_NOT_CSV = {
    b"PK\x03\x04": "an Excel or OpenDocument file; save it as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as CSV UTF-8",
    b"\xff\xfe": "UTF-16; save it as CSV UTF-8",
    b"\xfe\xff": "UTF-16; save it as CSV UTF-8",
    b"%PDF": "a PDF",
}


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of the file. Bytes that are not UTF-8 become lone surrogates, so that they are found in place.

    Raises:
        RecipientsInvalid: the file is not text, or a line is too long.
    """
    beginning = stream.read(4)
    for magic, what in _NOT_CSV.items():
        if beginning.startswith(magic):
            raise invalid(None, None, f"the file is {what}")
    text = io.TextIOWrapper(
        cast(Any, _Rest(beginning, stream)), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    number = 0
    while line := text.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE and not line.endswith(("\n", "\r")):
            raise invalid(None, None, f"line {number} is longer than {_MAX_LINE:,} characters; is this a CSV file?")
        yield line


class _Rest(io.RawIOBase):
    """A stream with some bytes put back in front. Closing it leaves the original open."""

    def __init__(self, beginning: bytes, stream: BinaryIO) -> None:
        self._beginning = beginning
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        if self._beginning:
            beginning, self._beginning = self._beginning, b""
            return beginning
        return self._stream.read(size)

    read = read1
