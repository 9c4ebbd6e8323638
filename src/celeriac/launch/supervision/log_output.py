"""What the children print, line by line and under their names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from celeriac.settings import wants_colour

#: Name under which the supervisor itself speaks.
SUPERVISOR = "celeriac"

_COLOURS = (36, 32, 33, 35, 34, 96, 94)  # SGR foreground codes; red is left to errors
LONGEST_LINE = 64 * 1024
_LAST_WORDS_S = 0.5  # how long to wait for the end of a dead child's output


class LogWriter:
    """Writes `name | line` to a stream, the names in columns, and in colour on a terminal."""

    def __init__(self, stream: TextIO, names: Sequence[str], *, colour: bool | None = None) -> None:
        self._stream = stream
        everyone = (SUPERVISOR, *names)
        width = max(map(len, everyone))
        coloured = stream.isatty() and wants_colour() if colour is None else colour
        self._prefixes = {
            name: _prefix(f"{name:<{width}} |", _COLOURS[i % len(_COLOURS)] if coloured else None)
            for i, name in enumerate(everyone)
        }

    def line(self, name: str, text: str) -> None:
        """Write one line. A reader that has gone away does not stop the stack."""
        with suppress(OSError, ValueError):
            self._stream.write(f"{self._prefixes[name]} {text}\n")
            self._stream.flush()


def _prefix(text: str, colour: int | None) -> str:
    return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"


class LineReader(asyncio.Protocol):
    """A pipe for a child's output, read as lines of text; a line that is too long comes in pieces."""

    def __init__(self, on_line: Callable[[str], None], write_end: int) -> None:
        self.write_end = write_end
        self._on_line = on_line
        self._rest = bytearray()
        self._transport: asyncio.BaseTransport | None = None
        self._ended = asyncio.Event()

    @classmethod
    async def open(cls, on_line: Callable[[str], None]) -> LineReader:
        """Make the pipe; give `write_end` to the child, then `close_write_end` here."""
        read_end, write_end = os.pipe()
        reader = cls(on_line, write_end)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: reader, os.fdopen(read_end, "rb", buffering=0))
        return reader

    def close_write_end(self) -> None:
        os.close(self.write_end)

    async def drain(self) -> None:
        """Read what is left, once everybody who could write has ended, and close the pipe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._ended.wait()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        while len(rest) > LONGEST_LINE:
            self._emit(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._rest = rest

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._emit(self._rest)
            self._rest = bytearray()
        self._ended.set()

    def _emit(self, line: bytearray) -> None:
        self._on_line(line.decode("utf-8", "replace").rstrip("\r"))
