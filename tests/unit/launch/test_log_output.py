import io
import os
from contextlib import suppress

import pytest

from celeriac.launch.supervision.log_output import LineReader, LogWriter


def test_names_stand_in_a_column() -> None:
    stream = io.StringIO()
    log = LogWriter(stream, ["api", "worker"])
    log.line("api", "up")
    log.line("celeriac", "ready")
    assert stream.getvalue() == "api      | up\nceleriac | ready\n"


def test_each_name_has_its_own_colour() -> None:
    stream = io.StringIO()
    log = LogWriter(stream, ["api", "worker"], colour=True)
    log.line("api", "up")
    log.line("worker", "up")
    api, worker = stream.getvalue().splitlines()
    assert api.startswith("\x1b[")
    assert api.split("m")[0] != worker.split("m")[0]


def test_a_reader_that_has_gone_away_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w")
    LogWriter(stream, ["api"]).line("api", "up")
    with suppress(BrokenPipeError):  # it still holds the line
        stream.close()


async def _lines(*chunks: bytes) -> list[str]:
    lines: list[str] = []
    reader = await LineReader.open(lines.append)
    for chunk in chunks:
        os.write(reader.write_end, chunk)
    reader.close_write_end()
    await reader.drain()
    return lines


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((b"one\ntwo\n",), ["one", "two"]),
        ((b"on", b"e\ntw", b"o\n"), ["one", "two"]),
        ((b"windows\r\n",), ["windows"]),
        ((b"no newline",), ["no newline"]),
        ((b"a\n\nb\n",), ["a", "", "b"]),
        ((b"broken \xff utf-8\n",), ["broken \ufffd utf-8"]),
        ((), []),
    ],
)
async def test_output_becomes_lines(chunks: tuple[bytes, ...], expected: list[str]) -> None:
    assert await _lines(*chunks) == expected


async def test_an_endless_line_comes_in_pieces() -> None:
    lines: list[str] = []
    reader = LineReader(lines.append, -1)
    for _ in range(100):
        reader.data_received(b"x" * 1000)
    assert [len(line) for line in lines] == [64 * 1024]
    reader.connection_lost(None)
    assert sum(map(len, lines)) == 100_000
