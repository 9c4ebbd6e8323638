r"""Values as cells of an archive, and back, without loss.

A column has a kind, and its cells are the plain text of values of that kind. What is something else begins with a
backslash: `\N` is NULL, `\integer:5` a value of another kind (SQLite allows that), `\\` a text that begins with a
backslash itself. An empty cell is an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, cast
from uuid import UUID

from celeriac.core import codec
from celeriac.families.cleanup.errors import ArchiveRefused

Row = Sequence[Any]

_NULL, _MARK = r"\N", "\\"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a column's values are, and how one is written and read."""

    name: str
    type: type
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _duration(value: timedelta) -> str:
    return str(Decimal(value // timedelta(microseconds=1)).scaleb(-6))


def _read_duration(cell: str) -> timedelta:
    return timedelta(microseconds=int(Decimal(cell).scaleb(6)))


def _same(cell: str) -> str:
    return cell


_TEXT = Kind("text", str, _same, _same)
_KINDS = [
    _TEXT,
    Kind("integer", int, str, int),
    Kind("float", float, float.__repr__, float),
    Kind("decimal", Decimal, str, Decimal),
    Kind("boolean", bool, {True: "true", False: "false"}.__getitem__, {"true": True, "false": False}.__getitem__),
    Kind("bytes", bytes, bytes.hex, bytes.fromhex),
    Kind("datetime", datetime, datetime.isoformat, datetime.fromisoformat),
    Kind("date", date, date.isoformat, date.fromisoformat),
    Kind("time", time, time.isoformat, time.fromisoformat),
    Kind("duration", timedelta, _duration, _read_duration),
    Kind("uuid", UUID, str, UUID),
    Kind("json", dict, codec.dumps_text, codec.loads),
]
_BY_NAME = {kind.name: kind for kind in _KINDS}
_BY_TYPE: dict[type, Kind] = {kind.type: kind for kind in _KINDS} | {list: _BY_NAME["json"]}


def kind_named(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        ArchiveRefused: there is none: a newer version has written the archive.
    """
    if name not in _BY_NAME:
        raise ArchiveRefused(f"the archive has values of the kind {name[:50]!r}, which this version does not know")
    return _BY_NAME[name]


def kind_of_column(values: Iterable[Any]) -> Kind:
    """Return the kind of the first value that is not NULL; without one, text."""
    first = next((value for value in values if value is not None), "")
    return _kind_of(first)


def _kind_of(value: Any) -> Kind:
    if (exact := _BY_TYPE.get(cast(Any, type(value)))) is not None:
        return exact
    found = next((_BY_TYPE[kind] for kind in type(value).__mro__ if kind in _BY_TYPE), None)
    if found is None:
        raise ArchiveRefused(f"a value of the type {type(value).__name__} cannot be archived without loss")
    return found


def write_column(values: Sequence[Any], kind: Kind) -> Sequence[str]:
    """Return the cells of a column.

    Raises:
        ArchiveRefused: a value has a type that cannot be written.
    """
    types = set(map(type, values))
    if types <= {kind.type, NoneType}:
        if kind is _TEXT:
            return _write_texts(values, NoneType in types)
        write = kind.write
        if NoneType in types:
            return [_NULL if value is None else write(value) for value in values]
        return list(map(write, values))
    if kind is _TEXT:
        return [_write_any(value, kind) for value in values]
    own, write = kind.type, kind.write  # what is plain in the kind that most values have needs no second look
    return [write(value) if type(value) is own else _write_any(value, kind) for value in values]


def _write_texts(values: Sequence[Any], has_null: bool) -> Sequence[str]:
    if has_null:
        return [_NULL if value is None else _escaped(value) for value in values]
    if _MARK in "".join(values):
        return list(map(_escaped, values))
    return values


def _escaped(text: str) -> str:
    return _MARK + text if text.startswith(_MARK) else text


def _write_any(value: Any, kind: Kind) -> str:
    if value is None:
        return _NULL
    own = _kind_of(value)
    cell = own.write(value)
    if own is not kind:
        return f"{_MARK}{own.name}:{cell}"
    return _escaped(cell)


def read_column(cells: Sequence[str], kind: Kind) -> Sequence[Any]:
    """Return the values of a column's cells.

    Raises:
        ValueError: a cell cannot be read. The archive is damaged.
    """
    if _MARK not in "".join(cells):
        return cells if kind is _TEXT else list(map(kind.read, cells))
    read = kind.read
    return [_read_marked(cell) if cell.startswith(_MARK) else read(cell) for cell in cells]


def _read_marked(cell: str) -> Any:
    if cell == _NULL:
        return None
    if cell.startswith(_MARK, 1):
        return cell[1:]
    name, colon, rest = cell[1:].partition(":")
    if not colon or name not in _BY_NAME:
        raise ValueError(f"no cell begins with {cell[:20]!r}")
    return _BY_NAME[name].read(rest)


def text_of(value: Any) -> str | None:
    """Return a value as a text that databases read; None for NULL."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    written = _kind_of(value).write(value)
    return f"{written} seconds" if isinstance(value, timedelta) else written


def columns_of(rows: Sequence[Row], count: int) -> list[Sequence[Any]]:
    """Turn rows into columns."""
    return list(zip(*rows, strict=True)) if rows else [()] * count


def same_rows(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Return whether two lists of rows are the same. NaN is the same as NaN here, for a row that did not change."""
    if len(one) != len(other):
        return False
    return all(a == b or tuple(a) == tuple(b) or same_values(a, b) for a, b in zip(one, other, strict=True))


def same_values(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Return whether two lists of values are the same, NaN included."""
    return len(one) == len(other) and all(a == b or _both_nan(a, b) for a, b in zip(one, other, strict=True))


def _both_nan(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return same_values(cast("list[Any]", one), cast("list[Any]", other))
    return isinstance(one, float | Decimal) and isinstance(other, float | Decimal) and one != one and other != other
