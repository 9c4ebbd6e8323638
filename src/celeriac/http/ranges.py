"""Which part of a representation a request asks for (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` up to and without `end`. `is_partial` tells a range from the whole."""

    start: int
    end: int
    is_partial: bool


def is_unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the caller has this representation already (If-None-Match), which is answered with 304."""
    given = headers.get("if-none-match")
    if given is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return etag in tags or "*" in tags


def is_another(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the caller asks for another representation than this (If-Match), which is answered with 412."""
    given = headers.get("if-match")
    return given is not None and not {etag, "*"} & {tag.strip() for tag in given.split(",")}


def part_of(headers: Mapping[str, str], size: int, etag: str) -> Part | None:
    """The part to send; None if the range lies outside, which is answered with 416.

    A range that cannot be read, several ranges, and a range of another version (If-Range) are ignored, as the RFC
    allows: the whole is sent.
    """
    whole = Part(0, size, is_partial=False)
    asked = _RANGE.fullmatch("".join(headers.get("range", "").split()))
    if asked is None or not (asked[1] or asked[2]):
        return whole
    if headers.get("if-range", etag) != etag:
        return whole
    if not asked[1]:  # the last bytes
        length = int(asked[2])
        return Part(max(0, size - length), size, is_partial=True) if length and size else None
    start, last = int(asked[1]), int(asked[2] or size)
    if asked[2] and last < start:
        return whole
    return Part(start, min(last + 1, size), is_partial=True) if start < size else None
