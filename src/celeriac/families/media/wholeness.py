"""Finds files that broke off, by the sizes that their containers state. Reads headers of parts only, and no content.

Durations tell the same less sharply: headers round them, and subtitles may last longer than the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

#: A fragmented video of some hours has tens of thousands of parts. Of more, the first are looked at.
_MOST_PARTS = 200_000
#: Some writers count the header itself, or leave out the last byte for padding.
_RIFF_SLACK = 16
#: Boxes of ISO media files that are believed. What else follows at the end may be another program's.
_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat", b"styp", b"sidx", b"free", b"skip", b"wide", b"meta", b"uuid"})
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing(path: Path, demuxer: str) -> str:
    """Say what is missing at the end of the file; empty if nothing, or if its format does not tell."""
    find = _FINDERS.get(demuxer)
    if find is None:
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = find(file, size)
    return f"it ends early: it says that it has {end:,} bytes, and has {size:,}" if end > size else ""


def _boxes(file: BinaryIO, size: int) -> int:
    """Where the last box of an ISO media file ends, by the sizes of boxes."""
    place = 0
    for _ in range(_MOST_PARTS):
        file.seek(place)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if kind not in _BOXES or length < 8:  # 0: to the end of the file
            break
        place += length
        if place >= size:
            return place
    return 0


def _segment(file: BinaryIO, size: int) -> int:
    """Where the segment of a Matroska file ends. A recording that was not closed has one of unknown size."""
    header = file.read(64 * 1024)
    place = 0
    for expected in (_EBML, _SEGMENT):
        if header[place : place + 4] != expected:
            return 0
        length, width = _vint(header, place + 4)
        if length is None:
            return 0
        place += 4 + width + length
    return place


def _vint(data: bytes, place: int) -> tuple[int | None, int]:
    """A number of variable width, as EBML has them, and its width. None if it is unknown."""
    first = data[place] if place < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return None, 1
    bits = 7 * width
    value = int.from_bytes(data[place : place + width], "big") & ((1 << bits) - 1)
    return (None if value == (1 << bits) - 1 else value), width


def _riff(file: BinaryIO, size: int) -> int:
    """Where the first RIFF chunk ends. Writers to a pipe, and those that were killed, leave no size."""
    length = int.from_bytes(file.read(8)[4:8], "little")
    end = length + 8
    return end if 0 < length < 0xFFFF_FF00 and end > size + _RIFF_SLACK else 0


_FINDERS: Mapping[str, Callable[[BinaryIO, int], int]] = {
    **{"mov": _boxes, "matroska": _segment},
    **{"avi": _riff, "wav": _riff},
}
