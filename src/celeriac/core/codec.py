"""Writes values as JSON and reads them back unchanged, or refuses them.

orjson is fast, but supports less than Python's own `json`, which Celery uses. It reads integers beyond 64 bits as
floats, writes NaN as null, and refuses lone surrogates. So orjson does the work, except where the two would differ.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import operator
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from typing import Any, NamedTuple, cast

import orjson
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

#: The path to a value: names of fields, keys, and places in lists.
Path = tuple[str | int, ...]

#: Finds numbers that orjson reads as floats: 2**64 has 20 digits, and -2**63 - 1 has 19.
_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
_FAIRLY_LONG, _LONG, _LONG_NEGATIVE = b"0" * 19, b"0" * 20, b"-" + b"0" * 19
#: A type that JSON lacks is a TypeError, as in Python's own writer.
_NO_GUESSING = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
#: Each model and dataclass has one of these.
_MARKS_OF_FIELDS = ("__pydantic_fields_set__", "__dataclass_fields__")
_FAULTS_SHOWN = 10
#: Kinds of pydantic's schemas that contain a float only inside other parts. Any other kind may be a float.
_CLOSED = frozenset(
    {
        *("int", "str", "bool", "none", "bytes", "date", "time", "datetime", "timedelta", "uuid", "literal"),
        *("list", "tuple", "set", "frozenset", "dict", "nullable", "default", "union", "definitions", "definition-ref"),
        *("model", "model-fields", "model-field", "typed-dict", "typed-dict-field", "arguments"),
        *("dataclass", "dataclass-args", "dataclass-field"),
    }
)
_NO_SCHEMAS = frozenset({"cls", "config", "metadata", "default", "expected"})
#: The lowest limit of digits to which Python can be set.
_FEWEST_DIGITS = sys.int_info.str_digits_check_threshold


class Fault(NamedTuple):
    """A part of a value that JSON cannot represent: its path, and the reason."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.reason}" if self.path else self.reason


def loads(data: bytes | str) -> Any:
    """Read JSON as Python's own reader does, including integers of any size, NaN and lone surrogates.

    Raises:
        ValueError: it is not JSON, not UTF-8, nested too deeply, or has an integer of more digits than Python reads.
    """
    encoded = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if not has_long_number(encoded):
        try:
            return orjson.loads(encoded)
        except orjson.JSONDecodeError:
            pass  # Python's own reader accepts more, or says what is wrong
    try:
        return json.loads(encoded.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def has_long_number(encoded: bytes) -> bool:
    """Return whether JSON may contain an integer that orjson reads as a float."""
    digits = encoded.translate(_DIGITS)
    return _FAIRLY_LONG in digits and (_LONG in digits or _LONG_NEGATIVE in digits)


def dumps(value: Any, *, floats: bool = True) -> bytes:
    """Write a value of JSON types so that `loads` returns it. Write what JSON lacks, such as NaN, as Celery does.

    `floats` says whether the value may contain a NaN.

    Raises:
        TypeError: a part of it has another type (enumerations and UUIDs become their values).
        ValueError: it contains itself, is nested too deeply, or has an integer of more digits than Python writes.
    """
    try:
        encoded = orjson.dumps(value, option=_NO_GUESSING)
        return to_json(value, inf_nan_mode="constants") if floats and b"null" in encoded else encoded
    except (TypeError, PydanticSerializationError):
        return _written_slowly(value)


def dumps_text(value: Any) -> str:
    """Write a value as text, of a column for example. Raises as `dumps` does."""
    return dumps(value).decode()


def _written_slowly(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def shown(value: Any) -> str:
    """Write any value of JSON types as indented JSON for people. Raises as `dumps` does."""
    return _printable(json.dumps(value, indent=2, ensure_ascii=False))


def may_hold_floats(adapter: TypeAdapter[Any]) -> bool:
    """Return whether values of that type may contain a float."""
    return _is_open(adapter.core_schema)


def is_strict(adapter: TypeAdapter[Any]) -> bool:
    """Return whether part of that type is strict, and so accepts in JSON what it refuses in Python.

    JSON has no `datetime`, for example, so there a strict type accepts text.
    """
    return _holds_strict(adapter.core_schema)


def _holds_strict(schema: Any) -> bool:
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        config: dict[str, Any] = parts.get("config") or {}
        if parts.get("strict") is True or config.get("strict") is True:
            return True
        return any(_holds_strict(part) for name, part in parts.items() if name not in _NO_SCHEMAS)
    return isinstance(schema, list | tuple) and any(map(_holds_strict, cast("Iterable[Any]", schema)))


def _is_open(schema: Any) -> bool:
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        kind = parts.get("type")
        if isinstance(kind, str) and (kind not in _CLOSED or (kind == "dict" and "values_schema" not in parts)):
            return True
        config: dict[str, Any] = parts.get("config") or {}
        if "allow" in (parts.get("extra_behavior"), config.get("extra_fields_behavior")):
            return True
        return any(_is_open(part) for name, part in parts.items() if name not in _NO_SCHEMAS)
    return isinstance(schema, list | tuple) and any(map(_is_open, cast("Iterable[Any]", schema)))


def hidden_faults(adapter: TypeAdapter[Any], value: Any, encoded: bytes, *, floats: bool = True) -> list[Fault]:
    """Return the parts of `value` that were lost in `encoded`, the JSON that pydantic made of it.

    Pydantic writes NaN as null unless a model asks for text, and integers with more digits than readers accept.
    `floats` says whether `value` may contain a NaN.
    """
    if not ((floats and b"null" in encoded) or _may_have_faults(encoded)):
        return []
    plain = adapter.serializer.to_python(value, warnings=False)
    found = number_faults(plain, _spelt_out(plain))
    return [fault for fault in found if not _is_text(fault.path, encoded)]


def _is_text(path: Path, encoded: bytes) -> bool:
    """Return whether the JSON has text at that path, for which a model can ask. An alias of a field hides that."""
    try:
        return isinstance(functools.reduce(operator.getitem, path, loads(encoded)), str)
    except (LookupError, TypeError, ValueError):
        return False


def number_faults(value: Any, encoded: bytes) -> list[Fault]:
    """Return the numbers in `value` that JSON lacks, or readers refuse. `encoded` is the JSON written of it."""
    return _first(_faults(value, (), _number_fault)) if _may_have_faults(encoded) else []


def faults(value: Any) -> list[Fault]:
    """Return the first ten parts of `value` that JSON would not return unchanged."""
    return _first(_faults(value, (), _fault))


def _first(found: Generator[Fault]) -> list[Fault]:
    try:
        return list(itertools.islice(found, _FAULTS_SHOWN))
    except RecursionError:
        return [Fault((), "it is nested too deeply")]


def _faults(value: Any, path: Path, fault_of: Callable[[Any], str | None]) -> Generator[Fault]:
    if isinstance(value, Mapping):
        for key, part in cast("Mapping[Any, Any]", value).items():
            name = key if isinstance(key, int) else _printable(str(key))
            if fault := fault_of(key):
                yield Fault((*path, name), f"the name is {fault}")
            yield from _faults(part, (*path, name), fault_of)
    elif isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray | memoryview):
        for place, part in enumerate(cast("Iterable[Any]", value)):
            yield from _faults(part, (*path, place), fault_of)
    elif fault := fault_of(value):
        inner = list(_faults(vars(value), path, fault_of)) if _has_fields(value) else []
        yield from inner or [Fault(path, fault)]


def _fault(value: Any) -> str | None:
    if isinstance(value, str):
        lone = next((character for character in value if "\ud800" <= character <= "\udfff"), None)
        return None if lone is None else f"text that is not Unicode, with the lone surrogate {_printable(lone)}"
    if isinstance(value, int | float):
        return _number_fault(value)
    try:
        to_json(value)
    except (PydanticSerializationError, ValueError) as error:
        return str(error).partition("\n")[0]
    return None


def _number_fault(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}, a number that JSON does not have"
    most = sys.get_int_max_str_digits()
    if isinstance(value, int) and most and value.bit_length() > 3 * most and abs(value) >= 10**most:
        return f"an integer of more than {most} digits"
    return None


def _has_fields(value: Any) -> bool:
    return hasattr(value, "__dict__") and any(hasattr(value, mark) for mark in _MARKS_OF_FIELDS)


def _may_have_faults(encoded: bytes) -> bool:
    """Return whether JSON that pydantic made may contain a number that some readers refuse."""
    if b"NaN" in encoded or b"Infinity" in encoded:
        return True
    if len(encoded) <= _FEWEST_DIGITS:
        return False
    most = sys.get_int_max_str_digits()
    return 0 < most < len(encoded) and b"0" * (most + 1) in encoded.translate(_DIGITS)


def _spelt_out(plain: Any) -> bytes:
    return to_json(plain, inf_nan_mode="constants", bytes_mode="base64", fallback=_parts)


def _parts(unknown: Any) -> Any:
    """Return the parts of a collection that pydantic takes for one value, such as a `deque` before 2.12."""
    return list(cast("Collection[Any]", unknown)) if isinstance(unknown, Collection) else type(unknown).__name__


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
