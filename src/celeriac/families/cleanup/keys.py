"""Keys of rows as JSON, and back, with the types that the driver gave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from celeriac.core import codec
from celeriac.families.cleanup.errors import TableRefused

_PLAIN = (int, str, float, bool)
_WRITE: Mapping[type, Callable[[Any], str]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    UUID: str,
    bytes: bytes.hex,
}
_READ: Mapping[str, Callable[[str], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "Decimal": Decimal,
    "UUID": UUID,
    "bytes": bytes.fromhex,
}


def write_key(key: Sequence[Any]) -> str:
    """Return a key as JSON.

    Raises:
        TableRefused: a value has a type that is not known.
    """
    return codec.dumps_text([_written(value) for value in key])


def write_position(key: Sequence[Any] | None, partition: str | None) -> str:
    """Return where to go on, as JSON: after a key. With a partition, there; None: at its first row.

    Raises:
        TableRefused: a value of the key has a type that is not known.
    """
    written = None if key is None else [_written(value) for value in key]
    return codec.dumps(written if partition is None else {"partition": partition, "key": written}).decode()


def read_position(written: str | None) -> tuple[tuple[Any, ...] | None, str | None]:
    """Return the key and the partition that `write_position` has written."""
    if written is None:
        return None, None
    found = codec.loads(written)
    place: dict[str, Any] = {"partition": None, "key": found} if isinstance(found, list) else found
    key = place["key"]
    return None if key is None else tuple(map(_read, key)), place["partition"]


def _written(value: Any) -> Any:
    if type(value) in _PLAIN and not (type(value) is int and abs(value) >= 2**53):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    kinds: tuple[type, ...] = type(value).__mro__
    for kind in kinds:
        if kind in _WRITE:
            return {kind.__name__: _WRITE[kind](value)}
    raise TableRefused(f"a key has a value of the type {type(value).__name__}, by which a run could not be resumed")


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, written),) = cast("dict[str, str]", value).items()
    return int(written) if kind == "int" else _READ[kind](written)
