"""Writes rows as Parquet. It needs the extra `parquet`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from celeriac.families.sync.kinds import Kind
from celeriac.families.sync.shaping import Shaped


def parquet(shaped: Shaped) -> bytes:
    """Return rows as a file.

    A number that a double holds exactly is one, and a column in which another one is has text: nothing is rounded.
    """
    import pyarrow as arrow
    from pyarrow import parquet as format_

    library: Any = arrow
    types = {
        Kind.BOOLEAN: library.bool_(),
        Kind.INTEGER: library.int64(),
        Kind.DOUBLE: library.float64(),
        Kind.TEXT: library.string(),
        Kind.JSON: library.string(),
        Kind.TIMESTAMP: library.timestamp("us", tz="UTC"),
        Kind.DATE: library.date32(),
    }
    arrays: dict[str, Any] = {}
    for column, values in zip(shaped.columns, shaped.data, strict=True):
        given, kind = _numbers(values) if column.kind is Kind.NUMERIC else (values, column.kind)
        arrays[column.name] = library.array(given, types[kind])
    file = io.BytesIO()
    writer: Any = format_
    writer.write_table(library.table(arrays), file, compression="zstd")
    return file.getvalue()


def _numbers(values: Sequence[Any]) -> tuple[list[Any], Kind]:
    if all(value is None or Decimal(repr(float(value))) == value for value in values):
        return [None if value is None else float(value) for value in values], Kind.DOUBLE
    return [None if value is None else str(value) for value in values], Kind.TEXT
