"""Takes rows that are at hand: those of a request, and those that a function yields."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain, islice
from typing import Any, cast

from pydantic import BaseModel

from celeriac.families.reports.errors import DataInvalid
from celeriac.families.reports.sources.data import BATCH_ROWS, Data, Row


def data_of(rows: Sequence[Mapping[str, Any]] | Sequence[Row], columns: Sequence[str] | None = None) -> Data:
    """Make data of the rows in a request: objects, or arrays beside the columns' names.

    Raises:
        DataInvalid: there are neither rows nor names.
    """
    names = names_of(rows, columns)
    if not names:
        raise DataInvalid("the rows have no columns")
    if columns is not None:
        listed = cast(Sequence[Row], rows)
    else:
        listed = [[row.get(name) for name in names] for row in cast(Sequence[Mapping[str, Any]], rows)]
    return Data(columns=names, batches=_in_batches(listed), total=len(listed), texts="dates")


def names_of(rows: Sequence[Any], columns: Sequence[str] | None) -> Sequence[str]:
    """Return the names of the columns of rows in a request: those beside arrays, or those of all objects."""
    return columns if columns is not None else list(dict.fromkeys(chain.from_iterable(rows)))


async def _in_batches(rows: Iterable[Row]) -> AsyncGenerator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch


@asynccontextmanager
async def read_function(name: str, returned: Any) -> AsyncGenerator[Data]:
    """Give the rows that a source function yields: dicts, dataclasses, pydantic models, or tuples after their names.

    The first row says which columns there are. Tuples have no names, so the first tuple is the names of the columns.

    Raises:
        DataInvalid: what it yields is no row, or has other columns than the first row.
    """
    rows = _all(name, await returned if hasattr(returned, "__await__") else returned)
    try:
        first = await anext(rows, None)
        if first is None:
            raise DataInvalid(f"source {name}: it yielded nothing; a first tuple of names makes an empty table")
        columns = _names(name, first)
        is_header = type(cast(object, first)) in (tuple, list)
        yield Data(columns=columns, batches=_batches(name, columns, None if is_header else first, rows))
    finally:
        await rows.aclose()


async def _all(name: str, returned: Any) -> AsyncGenerator[Any]:
    if isinstance(returned, AsyncIterable):
        async for row in cast(AsyncIterable[Any], returned):
            yield row
    elif isinstance(returned, Iterable) and not isinstance(returned, str | bytes | Mapping):
        for row in cast(Iterable[Any], returned):
            yield row
    else:
        kind = type(cast(object, returned)).__name__
        raise DataInvalid(f"source {name}: it returned {kind}; yield rows, or return a list of them")


async def _batches(
    name: str, columns: Sequence[str], first: Any, rows: AsyncGenerator[Any]
) -> AsyncGenerator[list[Row]]:
    batch: list[Row] = [] if first is None else [_cells(name, first, columns, 1)]
    number = len(batch)
    async for row in rows:
        number += 1
        batch.append(_cells(name, row, columns, number))
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _names(name: str, row: Any) -> list[str]:
    if isinstance(row, Mapping):
        return [str(key) for key in cast(Mapping[Any, Any], row)]
    if isinstance(row, BaseModel):
        return list(type(row).model_fields)
    if dataclasses.is_dataclass(row):
        return [field.name for field in dataclasses.fields(row)]
    if fields := getattr(row, "_fields", None):
        return list(fields)
    if isinstance(row, tuple | list):
        return [str(cell) for cell in cast(Sequence[Any], row)]
    raise DataInvalid(f"source {name}: {type(row).__name__} is no row; yield dicts, dataclasses, models or tuples")


def _cells(name: str, row: Any, columns: Sequence[str], number: int) -> Row:
    if isinstance(row, tuple | list):
        return cast(Row, row)
    if isinstance(row, Mapping):
        cells = cast(Mapping[Any, Any], row)
        if more := [str(key) for key in cells if key not in columns]:
            raise DataInvalid(f"source {name}, row {number:,}: {more[0]!r} is no column of the first row")
        return [cells.get(column) for column in columns]
    try:
        return [getattr(row, column) for column in columns]
    except AttributeError as error:
        raise DataInvalid(f"source {name}, row {number:,}: {error}") from None
