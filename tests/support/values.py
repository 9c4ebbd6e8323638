"""Values on which JSON, its fast readers and Python disagree, and `spelt`, by which they are compared."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

#: Numbers and texts that are easily changed on their way.
EXACT: list[Any] = [
    2**53 + 1,
    2**63,
    2**64,
    2**64 + 1,
    -(2**63) - 1,
    math.factorial(30),
    10**400,
    -0.0,
    5e-324,
    1e308,
    "M\u00fcnchen \U0001f4e6 \x00 \x1f \u2028",
    {"big": [2**70, {"deep": -(2**65)}], "none": None, "18446744073709551617": "18446744073709551617"},
]
#: What JSON, strictly taken, does not have; Celery sends it all the same.
BEYOND_JSON: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    "\udcff.txt",
    {"\ud800": None},
    {"items": [None, {"amount": math.nan, "name": "\udcff"}]},
]

_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
_INTEGERS = st.integers() | st.integers(-(2**80), 2**80) | st.sampled_from([2**63, 2**64, -(2**63) - 1])
SCALARS = st.none() | st.booleans() | _INTEGERS | st.floats() | _TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4))


def spelt(value: Any) -> str:
    """What tells a value from every other one: 1 from 1.0 and True, and NaN from itself not."""
    return repr(value)


def is_strict(value: Any) -> bool:
    """Whether JSON has words for all of it."""
    if isinstance(value, dict):
        return all(is_strict(key) and is_strict(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(is_strict, value))
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, float) or math.isfinite(value)
