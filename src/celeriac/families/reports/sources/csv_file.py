"""Reads CSV files of any encoding and delimiter, as spreadsheets and databases of many countries write them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from celeriac.families.reports.errors import DataInvalid
from celeriac.families.reports.sources.data import BATCH_ROWS, Data, Row

#: The rarer in texts first: it wins where two fit equally.
_DELIMITERS = ("\t", "|", ";", ",")
#: Bytes from which an encoding other than UTF-8 is guessed, and characters from which the delimiter is.
_GUESSED_BYTES = 262_144
_GUESSED_CHARACTERS = 65_536
_PIECE = 1_048_576
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
#: A line longer than this is no CSV: a quotation mark is not closed, or the file is something else.
_LONGEST_LINE = 4_194_304


@asynccontextmanager
async def read_csv(name: str, path: Path, longest_cell: int) -> AsyncGenerator[Data]:
    """Give the rows of the CSV file at `path`, which users know as `name`. Its first row has the columns' names.

    Raises:
        DataInvalid: it is empty, not text, or no CSV.
    """
    encoding = encoding_of(name, path)
    with path.open(encoding=encoding, newline="") as file:
        head = _decoded(name, file, encoding)
        delimiter = delimiter_of(head)
        file.seek(0)
        csv.field_size_limit(max(longest_cell * 4, 131_072))
        rows = _rows(name, _lines(name, file), delimiter, encoding)
        header = next(rows, None)
        if header is None:
            raise DataInvalid(f"{name} is empty; its first row has the names of the columns")
        details = {"file": name, "encoding": encoding, "delimiter": delimiter}
        yield Data(
            columns=header,
            batches=_batches(rows, len(header), details),
            texts="all",
            decimal_comma=delimiter == ";",
            details=details,
        )


def encoding_of(name: str, path: Path) -> str:
    """Find the encoding of a text: by its mark; UTF-8 if all of it is valid; else the most likely one.

    Raises:
        DataInvalid: it is not text.
    """
    with path.open("rb") as file:
        head = file.read(_GUESSED_BYTES)
        for mark, encoding in _MARKS.items():
            if head.startswith(mark):
                return encoding
        if b"\0" in head:
            raise DataInvalid(f"{name} is not text: it has NUL bytes")
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        place, piece = 0, b""
        try:
            while piece := file.read(_PIECE):
                decoder.decode(piece)
                place += len(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            near = max(0, place + error.start - _GUESSED_BYTES // 2)
            file.seek(near)
            return _most_likely(name, file.read(_GUESSED_BYTES))
    return "utf-8"


def _most_likely(name: str, sample: bytes) -> str:
    from charset_normalizer import from_bytes

    # the encodings of spreadsheets: tried alone, a short text is not taken for a rare one
    usual = ["cp1252", "iso8859_15", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "cp932", "euc_jp", "gb18030"]
    best = from_bytes(sample, cp_isolation=[*usual, "cp1256", "big5", "euc_kr", "utf_8"]).best()
    if best is None:
        raise DataInvalid(f"{name} is not UTF-8, and its encoding was not recognized; save it as CSV UTF-8")
    # cp1250 and others have the same letters for German, say: of equals, take what most machines write
    return "cp1252" if "cp1252" in best.could_be_from_charset else best.encoding


def delimiter_of(head: str) -> str:
    """Find the delimiter: the one that splits the first lines into the same number of cells, and the most of them."""
    lines = head.split("\n")[:50]
    lines = lines[:-1] if len(lines) > 1 and len(head) >= _GUESSED_CHARACTERS else lines
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in _tried(lines, delimiter) if row]
        if not widths or widths[0] < 2:
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _tried(lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter))
    except csv.Error:
        return []


def _decoded(name: str, file: io.TextIOWrapper, encoding: str) -> str:
    try:
        return file.read(_GUESSED_CHARACTERS)
    except UnicodeError as error:
        raise DataInvalid(f"{name} is not {encoding}: {error}") from None


def _lines(name: str, file: io.TextIOWrapper) -> Iterator[str]:
    try:
        while line := file.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE and not line.endswith(("\n", "\r")):
                raise DataInvalid(f"{name} has a line of more than {_LONGEST_LINE:,} characters; is it a CSV file?")
            yield line.replace("\0", "")
    except UnicodeError as error:
        raise DataInvalid(f"{name} is not {file.encoding}: {error}; save it as CSV UTF-8") from None


def _rows(name: str, lines: Iterator[str], delimiter: str, encoding: str) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for row in reader:
            if row:
                yield row
    except csv.Error as error:
        raise DataInvalid(f"{name}, line {reader.line_num:,}: {error}") from None


async def _batches(rows: Iterator[list[str]], width: int, details: dict[str, str]) -> AsyncGenerator[list[Row]]:
    batch: list[Row] = []
    short = 0
    for row in rows:
        if len(row) < width:
            short += 1
            details["short_rows"] = str(short)
        batch.append(row if len(row) == width else _fitted(row, width))
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _fitted(row: list[str], width: int) -> list[str]:
    """Cells that are missing at the end of a row are empty. Empty ones that are too many are dropped."""
    if len(row) < width:
        return [*row, *[""] * (width - len(row))]
    return row[:width] if not any(row[width:]) else row
