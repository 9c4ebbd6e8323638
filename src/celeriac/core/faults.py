"""What pydantic finds wrong with a value, as a sentence: `path: what is wrong`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: What pydantic puts before the message of a validator's own error. It tells a user nothing.
_PREFIX = "Value error, "
#: How many faults are told at once. Whoever mends them is told the others.
_MOST = 10


def message(fault: Mapping[str, Any]) -> str:
    """Return what is wrong, in the words of the validator that found it."""
    return str(fault["msg"]).removeprefix(_PREFIX)


def sentence(faults: Iterable[Mapping[str, Any]], whole: str) -> str:
    """Join faults. One that lies in no single part is that of the `whole`."""
    found = list(faults)
    # A list whose parts are wrong is said to be too short as well, which misleads.
    parents = {tuple(fault["loc"][:depth]) for fault in found for depth in range(len(fault["loc"]))}
    told = [one for one in found if one.get("type") != "too_short" or tuple(one["loc"]) not in parents]
    listed = [f"{'.'.join(map(str, fault['loc'])) or whole}: {message(fault)}" for fault in told[:_MOST]]
    return "; ".join([*listed, *([f"and {len(told) - _MOST} more"] if len(told) > _MOST else [])])
