"""Unpacks bodies in small pieces, so that a few bytes can never become more memory than they may."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

#: What is asked for, and how zlib is told to read it.
ACCEPTED = "gzip, deflate"
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PIECE = 262_144


class EncodingUnknown(ValueError):
    """The body is packed in a way that was not asked for."""


class Unpacker:
    """Unpacks the pieces of one body."""

    def __init__(self, encoding: str) -> None:
        """
        Raises:
            EncodingUnknown: the answer names an encoding that was not asked for.
        """
        self._encoding = encoding.strip().lower()
        self._inflate: Any = None
        if self._encoding not in ("", "identity"):
            if self._encoding not in _WINDOWS:
                raise EncodingUnknown(self._encoding)
            self._inflate = zlib.decompressobj(_WINDOWS[self._encoding])
        self._is_first = True

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes are, in pieces.

        Raises:
            zlib.error: they are not packed as announced.
        """
        if self._inflate is None:
            yield packed
            return
        if self._is_first:
            self._is_first = False
            if self._encoding == "deflate" and (packed[0] & 0x0F) != zlib.DEFLATED:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # many servers leave the header out
        while packed:
            piece = self._inflate.decompress(packed, _PIECE)
            if piece:
                yield piece
            packed = self._inflate.unconsumed_tail
            if self._inflate.eof and self._inflate.unused_data and self._encoding != "deflate":  # another member
                packed = self._inflate.unused_data
                self._inflate = zlib.decompressobj(_WINDOWS[self._encoding])

    @property
    def is_whole(self) -> bool:
        """Whether the body ended where what is packed in it ends."""
        return self._inflate is None or bool(self._inflate.eof)
