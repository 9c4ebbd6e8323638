"""Archives as Parquet: a file for each chunk. What Parquet's types would change is kept as cells of text."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false
# pyarrow has types for a part only.

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any

import pyarrow
from pyarrow import parquet

from celeriac.families.cleanup.archives_cells import (
    Kind,
    kind_named,
    kind_of_column,
    read_column,
    write_column,
)
from celeriac.families.cleanup.archives_folder import (
    create,
    read_at,
    read_back,
    reopen,
    sync_folder,
    translated,
    write_all,
)
from celeriac.families.cleanup.archives_model import (
    ArchiveColumn,
    ArchiveFile,
    ColumnEntry,
    Member,
    completed,
    leftovers,
    stem_of,
    write_manifest,
)
from celeriac.families.cleanup.archives_threaded import ThreadedArchive, check_unchanged, refuse_all_but_last
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused

_ENDING = ".parquet"
_DIGITS = 38  # of a decimal in Parquet
_CELLS = "cells"
_PLAIN = {
    "text": pyarrow.string(),
    "integer": pyarrow.int64(),
    "float": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
    "bytes": pyarrow.binary(),
    "date": pyarrow.date32(),
    "duration": pyarrow.duration("us"),
}


class ParquetArchive(ThreadedArchive):
    """An archive as Parquet. Each time that it is opened it begins new files, which have a manifest in common."""

    def __init__(
        self, folder: Path, name: str, columns: Sequence[ArchiveColumn], committed: Sequence[Member] = ()
    ) -> None:
        super().__init__(folder, name, columns, committed)
        self._stem = f"{name}.{secrets.token_hex(4)}"
        self._count = 0

    def _open(self) -> None:
        with translated(self._folder):
            for path in leftovers(self._folder, self._name, _ENDING, self._members):
                path.unlink(missing_ok=True)

    def _write(self, columns: Sequence[Sequence[Any]], count: int) -> Member:
        data = _packed(columns, self._columns)
        self._count += 1
        path = self._folder / f"{self._stem}.{self._count:06}{_ENDING}"
        member = Member(path.name, 0, len(data), count, hashlib.sha256(data).hexdigest())
        with translated(path):
            opened = create(path)
            try:
                write_all(opened, data, 0)
                again = decode(path, member, read_back(path, opened, 0, len(data)))
                check_unchanged(path, self._columns, columns, again)
                sync_folder(self._folder)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(opened)
        self._members.append(member)
        return member

    def _truncate(self, member: Member) -> None:
        refuse_all_but_last(self._members, member)
        with translated(self._folder / member.file):
            (self._folder / member.file).unlink(missing_ok=True)
        self._members.pop()

    def _complete(self) -> list[ArchiveFile]:
        """Write the manifests of those that belong together."""
        found: list[ArchiveFile] = []
        for stem in dict.fromkeys(stem_of(member.file) for member in self._members):
            members = [member for member in self._members if stem_of(member.file) == stem]
            if not (self._folder / members[0].file).exists():
                continue  # another machine has it
            columns, files = self._check(members)
            with translated(files[0].path):
                write_manifest(files[0].path, completed("parquet", columns, files, members))
            found += files
        return found

    def _check(self, members: Sequence[Member]) -> tuple[list[ColumnEntry], list[ArchiveFile]]:
        files: list[ArchiveFile] = []
        columns: list[ColumnEntry] = []
        for member in members:
            path = self._folder / member.file
            data = read_member(path, member)
            files.append(ArchiveFile(path, member.rows, member.length, member.sha256))
            columns = columns or _entries(path, member, data)
        return columns, files


def read_member(path: Path, member: Member) -> bytes:
    """Return the bytes of a file.

    Raises:
        ArchiveDamaged: they are not those that were written.
    """
    with translated(path):
        try:
            opened = reopen(path)
        except FileNotFoundError:
            raise ArchiveDamaged(f"{path} is missing, with {member.rows:,} rows") from None
        try:
            data = read_at(opened, 0, os.fstat(opened).st_size)
        finally:
            os.close(opened)
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise ArchiveDamaged(f"{path} is damaged: its SHA-256 is not {member.sha256}")
    return data


def decode(path: Path, member: Member, data: bytes) -> list[Sequence[Any]]:
    """Return the columns of a file's bytes.

    Raises:
        ArchiveDamaged: they cannot be read, or there are more or fewer rows.
    """
    try:
        table = parquet.read_table(pyarrow.BufferReader(data))
        values = [_read(column.to_pylist(), field) for column, field in zip(table.columns, table.schema, strict=True)]
    except (ValueError, KeyError, ArithmeticError, OSError) as error:  # pyarrow's errors are ValueErrors and OSErrors
        raise ArchiveDamaged(f"{path} cannot be read: {error}") from None
    if table.num_rows != member.rows:
        raise ArchiveDamaged(f"{path} has {table.num_rows:,} rows, and should have {member.rows:,}")
    return values


def _entries(path: Path, member: Member, data: bytes) -> list[ColumnEntry]:
    schema = parquet.read_schema(pyarrow.BufferReader(data))
    return [
        ColumnEntry(name=field.name, kind=field.metadata[b"kind"].decode(), type=field.metadata[b"type"].decode())
        for field in schema
    ]


def _packed(columns: Sequence[Sequence[Any]], names: Sequence[ArchiveColumn]) -> bytes:
    fields: list[Any] = []
    arrays: list[Any] = []
    for values, column in zip(columns, names, strict=True):
        kind = kind_of_column(values)
        array, coding = _array(values, kind)
        metadata = {"kind": kind.name, "coding": coding, "type": column.type}
        fields.append(pyarrow.field(column.name, array.type, metadata=metadata))
        arrays.append(array)
    sink = pyarrow.BufferOutputStream()
    with parquet.ParquetWriter(sink, pyarrow.schema(fields), compression="zstd", store_schema=True) as writer:
        writer.write_table(pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields)))
    return sink.getvalue().to_pybytes()


def _array(values: Sequence[Any], kind: Kind) -> tuple[Any, str]:
    """Return the values in Parquet's own type if that keeps them as they are, and as cells otherwise."""
    if set(map(type, values)) <= {kind.type, NoneType} and (fitting := _fitting(values, kind)) is not None:
        try:
            return pyarrow.array(values, fitting), "plain"
        except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
            pass  # such as an integer of more than 64 bits
    try:
        return pyarrow.array(write_column(values, kind), pyarrow.string()), _CELLS
    except UnicodeEncodeError as error:
        raise ArchiveRefused(f"a text cannot be archived, for it is no Unicode: {error.reason}") from None


def _fitting(values: Sequence[Any], kind: Kind) -> Any:
    """Return Parquet's type for the values; None if none keeps them as they are."""
    known = [value for value in values if value is not None]
    if kind.name in _PLAIN:
        return _PLAIN[kind.name]
    if kind.name == "decimal":
        return _decimals(known)
    if kind.name == "datetime":
        offsets: set[timedelta | None] = {value.utcoffset() for value in known if isinstance(value, datetime)}
        zones = {None: None, timedelta(0): "UTC"}
        return pyarrow.timestamp("us", zones[offsets.pop()]) if len(offsets) == 1 and offsets <= zones.keys() else None
    if kind.name == "time":
        is_plain = all(value.tzinfo is None for value in known if isinstance(value, time))
        return pyarrow.time64("us") if is_plain else None
    return None


def _decimals(values: Sequence[Decimal]) -> Any:
    """Return a type with the places that all of them have: 1.10 does not become 1.1."""
    places = {value.as_tuple().exponent for value in values}
    if len(places) != 1 or not isinstance(exponent := places.pop(), int) or not -_DIGITS < exponent <= 0:
        return None
    return pyarrow.decimal128(_DIGITS, -exponent)


def _read(values: list[Any], field: Any) -> Sequence[Any]:
    metadata = field.metadata or {}
    if metadata.get(b"coding") != _CELLS.encode():
        return values
    return read_column(values, kind_named(metadata[b"kind"].decode()))
