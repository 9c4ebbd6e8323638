"""The time that a connection waits for replies, on a clock that the tests move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from celeriac.families.email.patience import Patience


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """An event loop that has only timers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = list[Timer]()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *arguments: Any) -> Timer:
        self.timers.append(Timer(when, lambda: callback(*arguments)))
        return self.timers[-1]

    @property
    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled and timer.at > self.now]

    def pass_time(self, until: float) -> None:
        while due := [timer for timer in self.timers if not timer.cancelled and self.now < timer.at <= until]:
            first = min(due, key=Timer.when)
            self.now = first.at
            first.call()
        self.now = until


def patience() -> tuple[Loop, Patience, Any, list[str]]:
    loop, told = Loop(), list[str]()
    return loop, Patience(told.append), cast(Any, loop), told


def test_it_ends_when_nothing_comes_in_time() -> None:
    loop, waits, as_loop, told = patience()
    waits.begin(as_loop, 5)
    loop.pass_time(4.9)
    assert told == []
    loop.pass_time(5.1)
    assert told == ["Timed out: the server said nothing for 5 s"]


def test_a_long_wait_after_a_short_one_is_long() -> None:
    loop, waits, as_loop, told = patience()
    waits.begin(as_loop, 5)
    loop.pass_time(4)
    waits.end()
    waits.begin(as_loop, 600)
    loop.pass_time(603.9)
    assert told == []
    loop.pass_time(604.1)
    assert told == ["Timed out: the server said nothing for 600 s"]


def test_a_short_wait_after_a_long_one_is_short() -> None:
    loop, waits, as_loop, told = patience()
    waits.begin(as_loop, 600)
    waits.end()
    waits.begin(as_loop, 5)
    loop.pass_time(5.1)
    assert told == ["Timed out: the server said nothing for 5 s"]


def test_time_between_two_waits_does_not_count() -> None:
    loop, waits, as_loop, told = patience()
    waits.begin(as_loop, 5)
    waits.end()
    loop.pass_time(100)
    assert (told, loop.pending) == ([], [])
    waits.begin(as_loop, 5)
    loop.pass_time(104)
    assert told == []
    loop.pass_time(106)
    assert len(told) == 1


def test_many_waits_in_a_row_need_few_timers_and_nothing_stays_behind() -> None:
    loop, waits, as_loop, told = patience()
    for number in range(1000):
        waits.begin(as_loop, 600)
        loop.pass_time(number * 0.01)
        waits.end()
    assert len(loop.timers) == 1
    waits.end(for_good=True)
    assert (loop.pending, told) == ([], [])
