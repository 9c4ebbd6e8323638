"""Keeps the rows of a report in a file while it is made: the source is read once, and each format reads the file.

The file has a line of JSON for each batch. While it is written, each column's kind is found, the rows are counted, and
all of it is digested. A value that JSON lacks is kept as text, and made again by the kind of its column.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, cast

import orjson

from celeriac.families.reports.errors import DataInvalid, DataTooLarge
from celeriac.families.reports.sources.data import Row
from celeriac.families.reports.stored import read, reader_of
from celeriac.families.reports.texts import Guess, Shape

MAX_COLUMNS = 256
_MAX_NAME = 200
_INT64 = 2**63

#: The kind of a column that has values of these types only. Others are text.
_KINDS: dict[type, str] = {
    bool: "boolean",  # before int, and datetime before date: they are subclasses
    int: "integer",
    float: "decimal",
    Decimal: "decimal",
    datetime: "datetime",
    date: "date",
    time: "time",
    timedelta: "duration",
    str: "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """What a report may have: rows, characters in one cell, and megabytes of all rows in the file."""

    rows: int
    cell: int
    megabytes: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """The rows of a report, to read as often as is needed.

    Attributes:
        path: the file.
        columns: the names of the columns, each of its own.
        kinds: what each column holds: text, integer, decimal, boolean, date, datetime, time or duration.
        shapes: how to read a column of text that stands for something else.
        filled: the columns that have a value. That of the others may be of any kind.
        flags: whether a column has 0 and 1 and no other number: a yes and no of a database that lacks them.
        count: how many rows there are.
        sha256: the digest of names, kinds and rows.
    """

    path: Path
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    shapes: tuple[Shape | None, ...]
    flags: tuple[bool, ...]
    count: int
    sha256: str
    filled: frozenset[str] = frozenset()

    def rows(self, kinds: Sequence[str] | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the rows one by one, as `batches` does."""
        for batch in self.batches(kinds):
            yield from batch

    def batches(self, kinds: Sequence[str] | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows. `kinds` are those that the caller wants in place of the ones that were found.

        Raises:
            DataInvalid: a value cannot be of the kind that the caller wants.
        """
        wanted = kinds or self.kinds
        readers = [
            reader_of(kind, found, shape) for kind, found, shape in zip(wanted, self.kinds, self.shapes, strict=True)
        ]
        with self.path.open("rb") as file:
            number = 1
            for line in file:
                columns = [
                    read(values, reader, number, name)
                    for values, reader, name in zip(orjson.loads(line), readers, self.columns, strict=True)
                ]
                number += len(columns[0])
                yield list(zip(*columns, strict=True))


class SpoolWriter:
    """Writes the file, as a context manager that closes it."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        limits: SpoolLimits,
        *,
        texts: str = "nothing",
        decimal_comma: bool = False,
    ) -> None:
        if not columns:
            raise DataInvalid("the data has no columns")
        if len(columns) > MAX_COLUMNS:
            raise DataTooLarge(f"the data has {len(columns):,} columns; a report may have {MAX_COLUMNS}")
        self._names = unique_names(columns)
        self._columns = [_Column(name, Guess(texts, decimal_comma=decimal_comma), limits.cell) for name in self._names]
        self._limits = limits
        self._left = limits.megabytes * 1_000_000
        self._path = path
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self.count = 0

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, batch: Sequence[Row]) -> None:
        """Add rows.

        Raises:
            DataInvalid: a row has another number of values than there are columns, or a value that has no text.
            DataTooLarge: there are more rows, or longer texts, than are allowed.
        """
        if not batch:
            return
        if self.count + len(batch) > self._limits.rows:
            raise DataTooLarge(
                f"the data has more than {self._limits.rows:,} rows; CELERIAC_REPORTS_MAX_ROWS allows more"
            )
        width = len(self._names)
        for number, row in enumerate(batch, start=self.count + 1):
            if len(row) != width:
                raise DataInvalid(f"row {number:,} has {len(row)} values; there are {width} columns")
        values = zip(*batch, strict=True)
        encoded = [column.encode(cells, self.count + 1) for column, cells in zip(self._columns, values, strict=True)]
        line = orjson.dumps(encoded, option=orjson.OPT_APPEND_NEWLINE)
        self._left -= len(line)
        if self._left < 0:
            raise DataTooLarge(
                f"the rows have more than {self._limits.megabytes:,} MB; CELERIAC_REPORTS_MAX_DATA_MB allows more"
            )
        self._file.write(line)
        self._digest.update(line)
        self.count += len(batch)

    def finish(self) -> Spool:
        """Close the file, and return what it has become."""
        self._file.close()
        kinds = tuple(column.kind for column in self._columns)
        self._digest.update(orjson.dumps([self._names, kinds]))
        return Spool(
            path=self._path,
            columns=tuple(self._names),
            kinds=kinds,
            shapes=tuple(column.shape for column in self._columns),
            flags=tuple(column.is_flag for column in self._columns),
            count=self.count,
            sha256=self._digest.hexdigest(),
            filled=frozenset(column.name for column in self._columns if column.has_values),
        )


class _Column:
    def __init__(self, name: str, guess: Guess, longest: int) -> None:
        self.name = name
        self._guess = guess
        self._longest = longest
        self._found: set[str] = set()
        self._different: set[Any] = set()  # values, until there are more than two

    @property
    def has_values(self) -> bool:
        return bool(self._found)

    @property
    def shape(self) -> Shape | None:
        return self._guess.shape if self._found == {"text"} else None

    @property
    def kind(self) -> str:
        if (shape := self.shape) is not None:
            return shape.kind
        if self._found == {"integer", "decimal"}:
            return "decimal"
        if self._found == {"date", "datetime"}:  # a spreadsheet's time at midnight is a day
            return "datetime"
        return next(iter(self._found)) if len(self._found) == 1 else "text"

    @property
    def is_flag(self) -> bool:
        return self.kind == "integer" and self._different in ({0, 1}, {"0", "1"})

    def encode(self, values: Sequence[Any], first_row: int) -> Sequence[Any]:
        types = set(map(type, values)) - {type(None)}
        if types in ({int}, {str}) and len(self._different) <= 2:
            self._different = self._different.union(values) - {None, ""}
        if types == {str}:
            return self._texts(values, first_row)
        if types <= {bool} or types <= {date} or types <= {datetime} or _is_plain(types, values):
            self._found.update(_KINDS[found] for found in types)
            return values
        return [self._value(value, row) for row, value in enumerate(values, start=first_row)]

    def _texts(self, values: Sequence[Any], first_row: int) -> Sequence[Any]:
        texts: list[str] = [value for value in values if value]
        if texts:
            self._found.add("text")
            if max(map(len, texts)) > self._longest:
                row = next(n for n, text in enumerate(values, first_row) if text and len(text) > self._longest)
                raise self._too_long(row)
            if not self._guess.is_over:
                self._guess.see(texts)
        if "".join(texts).isascii():
            return [value or None for value in values]
        return [_encodable(value) or None if value else None for value in values]

    def _value(self, value: Any, row: int) -> Any:
        """Return what JSON has for a value, and note its kind."""
        if value is None:
            return None
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, float | Decimal) and not math.isfinite(value):
            return None  # neither NaN nor infinity can be shown, added up or written to a spreadsheet
        if isinstance(value, bytes | bytearray | memoryview):
            raise DataInvalid(f"row {row:,}, column {self.name}: the value is bytes; select a text instead")
        if _has_no_text(cast(type, type(value))):
            raise DataInvalid(
                f"row {row:,}, column {self.name}: the value is of type {type(value).__name__}, which has no text; "
                "give a text, a number or a date"
            )
        kind = next((kind for found, kind in _KINDS.items() if isinstance(value, found)), "text")
        if kind == "text":
            (text,) = self._texts([str(value)], row)
            return text
        self._found.add(kind)
        if isinstance(value, Decimal) or (kind == "integer" and not -_INT64 <= value < _INT64):
            self._found.add("decimal")
            return str(value)
        if isinstance(value, timedelta):
            return value.total_seconds()
        return value.isoformat() if isinstance(value, time) else value

    def _too_long(self, row: int) -> DataTooLarge:
        return DataTooLarge(
            f"row {row:,}, column {self.name}: more than {self._longest:,} characters; "
            "CELERIAC_REPORTS_MAX_CELL allows more"
        )


def _is_plain(types: set[type], values: Sequence[Any]) -> bool:
    """Whether JSON has all these numbers as they are."""
    if types == {int}:
        return all(value is None or -_INT64 <= value < _INT64 for value in values)
    return types == {float} and all(value is None or math.isfinite(value) for value in values)


def _has_no_text(kind: type) -> bool:
    """Whether `str` of such a value says no more than where it is in memory."""
    return kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__


def _encodable(text: str) -> str:
    """Return the text without lone surrogates, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names in one line each, and a number after those that were there before."""
    found: dict[str, None] = {}
    for number, name in enumerate(names, start=1):
        plain = " ".join(_encodable(str(name)).split())[:_MAX_NAME] or f"column {number}"
        chosen, count = plain, 1
        while chosen in found:
            count += 1
            chosen = f"{plain} {count}"
        found[chosen] = None
    return list(found)
