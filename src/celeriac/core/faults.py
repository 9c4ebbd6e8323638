"""What pydantic finds wrong with a value, as a sentence: `path: what is wrong`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: What pydantic puts before the message of a validator's own error. It tells a user nothing.
_PREFIX = "Value error, "


def message(fault: Mapping[str, Any]) -> str:
    """Return what is wrong, in the words of the validator that found it."""
    return str(fault["msg"]).removeprefix(_PREFIX)


def sentence(faults: Iterable[Mapping[str, Any]], whole: str) -> str:
    """Join faults. One that lies in no single part is that of the `whole`."""
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or whole}: {message(fault)}" for fault in faults)
