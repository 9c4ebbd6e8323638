"""Parses a large body while it comes, so that no more of it is in memory than the records that nobody has taken yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ijson
import ijson.common
from ijson import sendable_list

from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.decoding import plain
from celeriac.families.sync.http.passing import Passing
from celeriac.families.sync.http.paths import MISSING


class StreamedBody:
    """One body. Its parser is yajl's, which takes valid JSON only, and writes `?` for half of a surrogate pair."""

    def __init__(self, records: str, values: Sequence[str]) -> None:
        """Look for the list at the path `records`, and for single values at the paths `values`."""
        self._items: list[Any] = sendable_list()
        self._beside = _Beside(records, values)
        self._parsers = [
            ijson.items_coro(self._items, f"{records}.item" if records else "item"),
            ijson.parse_coro(self._beside),
        ]

    def __len__(self) -> int:
        return len(self._items)

    def feed(self, piece: bytes) -> None:
        """
        Raises:
            SourceFailed: it is no JSON.
        """
        try:
            for parser in self._parsers:
                parser.send(piece)
        except ijson.common.JSONError:
            raise SourceFailed("the answer is no JSON") from None

    def end(self) -> None:
        """
        Raises:
            Passing: the body is not whole.
            SourceFailed: it has no list of records.
        """
        try:
            for parser in self._parsers:
                parser.close()
        except ijson.common.JSONError:
            raise Passing("the JSON of the answer ends too early") from None
        if not self._beside.has_list:
            raise SourceFailed(f"the body has no list at records: {self._beside.records!r}")

    def take(self) -> list[Any]:
        """Return the items that have come since the last call."""
        items = [plain(item) for item in self._items]
        self._items.clear()
        return items

    def find(self, path: str) -> Any:
        """Return what was at one of the paths, or MISSING."""
        return self._beside.values.get(path, MISSING)


#: What stands for an object and a list that were not looked into.
_OPENED: dict[str, Any] = {"start_map": {}, "start_array": []}


class _Beside:
    """Keeps single values at some paths, and notices the beginning of the list of records."""

    def __init__(self, records: str, wanted: Sequence[str]) -> None:
        self.records = records
        self.has_list = False
        self.values: dict[str, Any] = {}
        self._wanted = frozenset((records, *wanted))

    def send(self, event: tuple[str, str, Any]) -> None:
        prefix, kind, value = event
        if prefix not in self._wanted or kind in ("map_key", "end_map", "end_array"):
            return
        if prefix == self.records:
            self.has_list |= kind == "start_array" or (kind == "null" and bool(prefix))
        self.values[prefix] = _OPENED.get(kind, plain(value))

    def close(self) -> None:
        """Have nothing to end."""
