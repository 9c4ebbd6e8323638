"""Which of many like tests run by default, and which with `--slow` only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def quick_first(values: Sequence[Any], quick: int = 1) -> list[Any]:
    """The values for `parametrize`: the first ones as they are, the others marked slow."""
    return [*values[:quick], *(pytest.param(value, marks=pytest.mark.slow) for value in values[quick:])]
