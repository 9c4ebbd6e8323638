"""Reads a field of a record: by its name, or by a dotted path into the objects that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from celeriac.families.sync.pages import Record


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the fields at these paths."""
    record: dict[str, Any] = {}
    for path, value in fields.items():
        *outer, last = path.split(".")
        place = record
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return record


def has(record: Record, path: str) -> bool:
    """Return whether a record has the field at a path, be it null."""
    if path in record:
        return True
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = cast("Mapping[str, Any]", value)[part]
    return True


def getter(path: str) -> Callable[[Record], Any]:
    """Return a function that returns the field at `path`, or None. A field whose name has the dots goes first."""
    parts = path.split(".")
    if len(parts) == 1:
        return lambda record: record.get(path)

    def get(record: Record) -> Any:
        if path in record:
            return record[path]
        value: Any = record
        for part in parts:
            if not isinstance(value, Mapping):
                return None
            value = cast("Mapping[str, Any]", value).get(part)
        return value

    return get
