"""Rates, and how long the rest takes."""

from __future__ import annotations

import pytest

from celeriac.core.remaining import Rate, remaining


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_a_length_of_time_is_told_in_its_largest_units(seconds: float, text: str) -> None:
    assert remaining(seconds) == text


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_that_of_the_last_steps() -> None:
    clock = Clock()
    rate = Rate("rows", clock)
    assert rate.see(0, 3000) == "0 rows"
    clock.now = 10.0
    assert rate.see(1000, 3000) == "1,000 rows, 100 rows/s, 20 s left"
    clock.now = 20.0
    assert rate.see(1000, 3000) == "1,000 rows, 100 rows/s, 20 s left", "nothing new"
    clock.now = 30.0
    assert rate.see(1400, 3000) == "1,400 rows, 84 rows/s, 19 s left"
    assert rate.see(1400) == "1,400 rows, 84 rows/s"


def test_what_was_done_before_took_no_time_of_ours() -> None:
    clock = Clock()
    rate = Rate("records", clock)
    clock.now = 5.0
    rate.go_on(100_000)
    clock.now = 6.0
    assert rate.see(100_050) == "100,050 records, 50 records/s"


def test_more_than_was_expected_leaves_no_time() -> None:
    clock = Clock()
    rate = Rate("rows", clock)
    clock.now = 1.0
    assert rate.see(20, 10) == "20 rows, 20 rows/s, 0 s left"
