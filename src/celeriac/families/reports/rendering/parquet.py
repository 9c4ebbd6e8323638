"""Parquet by pyarrow, batch by batch. The kinds of columns become types; a value that does not fit becomes null."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyarrow has types for a part only.

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from celeriac.families.reports.rendering.columns import chosen
from celeriac.families.reports.rendering.formats import number_of, odd_number, places_of
from celeriac.families.reports.rendering.model import Column, ColumnKind, Layout, Progress, Rendered, Rows
from celeriac.families.reports.rendering.text import storable

_LONGEST = 2**63
_DIGITS = 38  # of a decimal in Parquet
_EXACT = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN)


def render_parquet(rows: Rows, layout: Layout, path: Path, progress: Progress) -> Rendered:
    """Write the rows as Parquet. Names of columns are those of the data."""
    columns = list(rows.columns)
    wanted = chosen(columns, layout.columns)
    shown = [columns[index] for index in wanted]
    kinds = [_kind(column) for column in shown]
    schema = pyarrow.schema([(storable(column.name), kind) for column, (kind, _) in zip(shown, kinds, strict=True)])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in rows.batches():
            if not batch:
                continue
            values = list(zip(*batch, strict=True))
            arrays = [
                _array(values[index], kind, convert) for index, (kind, convert) in zip(wanted, kinds, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
            count += len(batch)
            progress(count, None)
    return Rendered(count, None, path.stat().st_size, "pyarrow")


def _array(values: Sequence[object], kind: Any, convert: Callable[[object], object]) -> Any:
    return pyarrow.array([None if value is None else convert(value) for value in values], kind)


def _kind(column: Column) -> tuple[Any, Callable[[object], object]]:
    if column.kind == "money":
        places = max(places_of(column), 2)
        return pyarrow.decimal128(_DIGITS, places), lambda value: _decimal(value, places)
    return _KINDS[column.kind]()


def _decimal(value: object, places: int) -> Decimal | None:
    number = number_of(value)
    if number is None:
        return None
    number = Decimal(str(number)) if isinstance(number, float) else Decimal(number)
    return _EXACT.quantize(number, Decimal(1).scaleb(-places)) if number.adjusted() < _DIGITS - places else None


def _float(value: object) -> float | None:
    if isinstance(value, float):
        return value
    if odd := odd_number(value):
        return float(odd)
    number = number_of(value)
    return None if number is None or abs(number) > 10**300 else float(number)


def _integer(value: object) -> int | None:
    number = number_of(value)
    return int(number) if number is not None and number == int(number) and abs(number) < _LONGEST else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def _day(value: object) -> date | None:
    return value.date() if isinstance(value, datetime) else value if isinstance(value, date) else None


def _span(value: object) -> timedelta | None:
    number = number_of(value)
    return timedelta(seconds=float(number)) if number is not None and abs(number) < 9e9 else None


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else storable(str(value)).encode()


_KINDS: dict[ColumnKind, Callable[[], tuple[Any, Callable[[object], object]]]] = {
    "text": lambda: (pyarrow.string(), lambda value: storable(value if isinstance(value, str) else str(value))),
    "integer": lambda: (pyarrow.int64(), _integer),
    "decimal": lambda: (pyarrow.float64(), _float),
    "percent": lambda: (pyarrow.float64(), _float),
    "boolean": lambda: (pyarrow.bool_(), lambda value: value if isinstance(value, bool) else None),
    "date": lambda: (pyarrow.date32(), _day),
    "datetime": lambda: (pyarrow.timestamp("us", tz="UTC"), _moment),
    "time": lambda: (pyarrow.time64("us"), lambda value: value if isinstance(value, time) else None),
    "duration": lambda: (pyarrow.duration("us"), _span),
    "binary": lambda: (pyarrow.binary(), _bytes),
}
