"""Makes rows of records: finds columns for their fields, converts values, and rejects what cannot be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from celeriac.families.sync.by_field import ByField
from celeriac.families.sync.columns import Changes, Column, Known
from celeriac.families.sync.converting import Holder, TooNarrow, widest
from celeriac.families.sync.errors import SchemaStopped
from celeriac.families.sync.kinds import Kind, inferred
from celeriac.families.sync.model import Mode, OnNewColumn, Stream
from celeriac.families.sync.names import MOST_COLUMNS, TAKEN, column_name, fault_of_field
from celeriac.families.sync.pages import Record, Refusal

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Shaped:
    """A page of records as rows.

    Attributes:
        columns: the table's columns, as they are to be.
        data: the values of each column.
        rows: how many values each has.
        rejected: records that cannot be written, with the reasons.
        superseded: records that a later one on the page, with the same key, replaces. They count as written.
        changes: what the table needs first.
        versions: which of `whole` each row is, the last version of its key first; empty: it is that at its own place.
        whole: the values of all records that are not rejected.
        positions: the places of these records on the page.
    """

    columns: Sequence[Column]
    data: Sequence[Sequence[Any]]
    rows: int
    rejected: Sequence[Refusal]
    superseded: int
    changes: Changes
    versions: Sequence[Sequence[int]] = ()
    whole: Sequence[Sequence[Any]] = ()
    positions: Sequence[int] = ()

    def versions_of(self, row: int) -> Sequence[int]:
        """Return which of `whole` a row is, and its earlier versions after it."""
        return self.versions[row] if self.versions else (row,)


class Shaper:
    """Shapes the pages of one stream, and remembers the columns."""

    def __init__(self, stream: Stream, dialect: str, known: Known, key: Sequence[str]) -> None:
        """`key` has the fields of the primary key, as they are in the records."""
        self._stream = stream
        self._dialect = dialect
        self._others = dict(known.others)
        self._is_new = not known.exists
        self._key = tuple(key)
        self.columns = list(known.columns)
        self._fields = {column.field for column in self.columns}
        self._pending = {path: kind for path, kind in stream.columns.items() if path not in self._fields}
        self.ignored: set[str] = set()

    def shape(self, records: Sequence[Record], faults: Mapping[int, str] | None = None) -> Shaped:
        """Make rows of a page. `faults` has positions of records that are rejected already, with the reasons.

        Raises:
            SchemaStopped: the table would have to change, and must not; or it would have too many columns.
        """
        found = dict(faults or {})
        changes = Changes()
        fields = ByField(records)
        self._find_keys(fields, found, changes)
        self._find_new(fields, found, changes)
        data: list[Sequence[Any]] = [
            self._converted(place, fields, found, changes) for place in range(len(self.columns))
        ]
        rejected = [Refusal(found[position], records[position], position) for position in sorted(found)]
        kept: Sequence[int] = range(len(records))
        if found or not data:
            kept = [position for position in kept if position not in found]
            data = [[values[position] for position in kept] for values in data]
        rows = len(records) - len(found)
        versions = self._versions(data, rows)
        last = [[values[each[0]] for each in versions] for values in data] if versions else data
        left = len(versions) or rows
        if left:  # else nothing has been there yet from which the table could come
            self._is_new = False
        return Shaped(tuple(self.columns), last, left, rejected, rows - left, changes, versions, data, kept)

    def _find_keys(self, fields: ByField, faults: dict[int, str], changes: Changes) -> None:
        for path in self._key:
            values = fields.at(path)
            types = set(map(type, values))
            is_odd = type(None) in types or dict in types or list in types
            for position, value in enumerate(values if is_odd else ()):
                if value is None or isinstance(value, dict | list):
                    what = "no" if value is None else "no single value as its"
                    faults.setdefault(position, f"it has {what} {path}, which is its key")
            if path not in self._fields:
                usable = (value for value in values if not isinstance(value, dict | list))
                kind = self._pending.pop(path, None) or inferred(usable)
                if kind is not None:
                    self._add(path, kind, changes, is_fixed=True, is_key=True)

    def _find_new(self, fields: ByField, faults: dict[int, str], changes: Changes) -> None:
        for path, kind in list(self._pending.items()):
            self._add(path, kind, changes, is_fixed=True)
            del self._pending[path]
        new: dict[str, Kind] = {}
        for name in fields.names:
            if name in self._fields or name in self.ignored:
                continue
            kind = inferred(fields.named(name))
            if kind is not None:  # null says nothing about its type: the column comes with its first value
                new[name] = kind
        if new and not self._is_new and self._stream.on_new_column is not OnNewColumn.ADD:
            if self._stream.on_new_column is OnNewColumn.STOP:
                self._stop(f"has new fields: {_listed(new)}")
            self.ignored.update(new)
            return
        for name, kind in new.items():
            why = fault_of_field(name, self._dialect)
            if why is None:
                self._add(name, kind, changes)
                continue
            for position, value in enumerate(fields.named(name)):
                if value is not None:
                    faults.setdefault(position, why)

    def _add(
        self,
        path: str,
        kind: Kind,
        changes: Changes,
        *,
        is_fixed: bool = False,
        is_key: bool = False,
    ) -> None:
        if len(self.columns) >= MOST_COLUMNS:
            self._stop(
                f"has more than {MOST_COLUMNS} fields, such as {path[:100]!r}; are these keys of an object that are "
                "data? Declare it as json, or use on_new_column: ignore"
            )
        taken = [*(column.name for column in self.columns), *TAKEN.get(self._dialect, ())]
        name = column_name(path.replace(".", "_") if is_fixed else path, taken)
        there = self._others.pop(name.casefold(), None)
        if there is None:
            limit = widest(kind, self._dialect, is_key=is_key)
            column = Column(field=path, name=name, kind=kind, limit=limit, is_fixed=is_fixed, is_key=is_key)
        else:  # as the user has made it, or a run that was killed before it could note it
            column = replace(there, field=path, is_fixed=is_fixed or there.is_fixed, is_key=is_key)
        self.columns.append(column)
        self._fields.add(path)
        changes.added[column.name] = column

    def _converted(self, place: int, fields: ByField, faults: dict[int, str], changes: Changes) -> Sequence[Any]:
        column = self.columns[place]
        values = fields.at(column.field)
        may_change = self._is_new or self._stream.on_new_column is OnNewColumn.ADD or column.name in changes.added
        while True:
            is_fixed = column.is_fixed or (not may_change and self._stream.on_new_column is OnNewColumn.IGNORE)
            try:
                converted, bad = self._holder(column, is_fixed).convert(values)
                break
            except TooNarrow as narrow:
                if not may_change:
                    self._stop(f"has values for {column.field!r} that its column, {column.kind}, cannot hold")
                column = replace(column, kind=narrow.kind, limit=widest(narrow.kind, self._dialect))
                self.columns[place] = column
                changes.set(column)
        for position, reason in bad.items():
            faults.setdefault(position, f"{column.field}: {reason}")
        return converted

    def _holder(self, column: Column, is_fixed: bool) -> Holder:
        return Holder(column.kind, self._dialect, column.limit, is_fixed, is_array=column.cast.endswith("[]"))

    def _versions(self, data: list[Sequence[Any]], rows: int) -> list[list[int]]:
        """Group records with one key, the last one first: a statement must not write one row twice. []: all differ."""
        places = [place for place, column in enumerate(self.columns) if column.is_key]
        if self._stream.mode is Mode.APPEND or not places or not rows:
            return []
        keys = data[places[0]] if len(places) == 1 else list(zip(*(data[place] for place in places), strict=True))
        if len(set(keys)) == rows:
            return []
        found: dict[Any, list[int]] = {}
        for position, key in enumerate(keys):
            found.setdefault(key, []).insert(0, position)
        return sorted(found.values())

    def _stop(self, what: str) -> None:
        raise SchemaStopped(f"stream {self._stream.name}: a page {what}")


def _listed(names: Mapping[str, Kind]) -> str:
    shown = [f"{name[:60]!r} ({kind})" for name, kind in list(names.items())[:_SHOWN]]
    return ", ".join(shown) + (f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
