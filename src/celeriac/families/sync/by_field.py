"""The records of a page, field by field: whatever shapes a page looks at one field of all records at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from celeriac.families.sync.pages import Record
from celeriac.families.sync.paths import getter

_DICT = {dict}


class ByField:
    """The values of each field of a page's records.

    Almost all pages have records with the same fields. These are turned round at once, and others are asked one by one.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._turned = turned(records)

    @property
    def names(self) -> Collection[str]:
        """The names of all fields, in the order in which they come first."""
        if self._turned is not None:
            return self._turned.keys()
        return dict.fromkeys(name for record in self._records for name in record)

    def named(self, name: str) -> Sequence[Any]:
        """Return what each record has under a name; None where it has nothing."""
        if self._turned is None:
            return [record.get(name) for record in self._records]
        return self._turned[name] if name in self._turned else (None,) * len(self._records)

    def at(self, path: str) -> Sequence[Any]:
        """Return what each record has at a path, see `getter`; None where it has nothing."""
        if "." not in path or (self._turned is not None and path in self._turned):
            return self.named(path)
        return list(map(getter(path), self._records))


def turned(records: Sequence[Record]) -> Mapping[str, Sequence[Any]] | None:
    """Return the values of each field, if all records have the same fields; None: they have not.

    Only plain dicts are asked this way: others may make up what they lack.
    """
    if not records or set(map(type, records)) != _DICT:
        return None
    names = tuple(records[0])
    if not names or set(map(len, records)) != {len(names)}:
        return None
    try:
        if len(names) == 1:
            return {names[0]: [record[names[0]] for record in records]}
        values_of = cast("Callable[[Record], tuple[Any, ...]]", itemgetter(*names))
        return dict(zip(names, zip(*map(values_of, records), strict=True), strict=True))
    except KeyError:  # as many fields, and other ones
        return None
