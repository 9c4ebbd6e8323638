"""What a limit may be, and what may be asked for."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from celeriac import ConfigurationError, Limit
from celeriac.core.limits import MOST_LIMITS, check_request

ONE = Limit("one", concurrency=1)


@pytest.mark.parametrize(
    ("name", "bounds", "said"),
    [
        ("", {"rate": 1}, "a name of 1 to 200"),
        ("x" * 201, {"rate": 1}, "a name of 1 to 200"),
        ("a\nb", {"rate": 1}, "printable"),
        ("a", {}, "give a rate, a concurrency or a daily number"),
        ("a", {"burst": 3, "daily": 5}, "a burst needs a rate"),
        ("a", {"rate": 0}, "rate=0"),
        ("a", {"rate": -1}, "rate=-1"),
        ("a", {"rate": float("nan")}, "rate=nan"),
        ("a", {"rate": float("inf")}, "rate=inf"),
        ("a", {"rate": 1, "burst": 0}, "burst=0"),
        ("a", {"concurrency": 0}, "concurrency=0"),
        ("a", {"concurrency": 1.5}, "concurrency=1.5"),
        ("a", {"daily": 0}, "daily=0"),
        ("a", {"rate": "50"}, "rate='50'"),
        (5, {"rate": 1}, "the name is no text"),
    ],
)
def test_a_wrong_bound_is_named(name: Any, bounds: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Limit(name, **bounds)


@pytest.mark.parametrize(
    ("limit", "units"),
    [
        (Limit("a", rate=20), 20),
        (Limit("a", rate=0.1), 1),
        (Limit("a", rate=2.5), 3),
        (Limit("a", rate=20, burst=1), 1),
        (Limit("a", daily=5), 0),
    ],
)
def test_the_burst_is_one_second_of_the_rate_unless_it_is_given(limit: Limit, units: int) -> None:
    assert limit.most_at_once == units


def test_a_limit_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ONE.concurrency = 2  # type: ignore[misc]
    assert Limit("one", concurrency=1) == ONE


@pytest.mark.parametrize(
    ("limits", "units", "hold_seconds", "said"),
    [
        ([], 1, 60, "give 1 to 32 limits, not 0"),
        ([Limit(str(n), daily=1) for n in range(MOST_LIMITS + 1)], 1, 60, "not 33"),
        ([ONE, Limit("one", rate=1)], 1, 60, "the same name"),
        (ONE, 1, 60, "give a list of limits"),
        (["one"], 1, 60, "give a list of limits"),
        ([ONE], 0, 60, "units=0"),
        ([ONE], 1.5, 60, "units=1.5"),
        ([ONE], 1, 0, "hold_seconds=0"),
        ([ONE], 1, 86_401, "hold_seconds=86401"),
        ([ONE], 1, float("nan"), "hold_seconds=nan"),
    ],
)
def test_a_wrong_request_is_named(limits: Any, units: Any, hold_seconds: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_request(limits, units, hold_seconds)
