"""Interrupting threads: loops stop, what is caught is repeated, and nothing arrives late."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from celeriac.core.interrupt import Interruptible, interrupt_thread, run_with_deadline


class Stop(Exception):
    """Raised in the interrupted thread."""


def spin() -> None:
    for _ in itertools.count():
        pass


def spin_and_swallow(times: int) -> None:
    for _ in range(times):
        try:
            spin()
        except BaseException:
            continue
    spin()


def test_a_result_within_the_deadline_is_returned() -> None:
    assert run_with_deadline(lambda: 6 * 7, 5) == 42


def test_an_error_within_the_deadline_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        run_with_deadline(lambda: 1 // 0, 5)


def test_an_endless_loop_ends_at_the_deadline_and_its_thread_with_it() -> None:
    before = threading.active_count()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"took longer than 0\.1 s"):
        run_with_deadline(spin, 0.1)
    assert time.monotonic() - started < 5
    assert threading.active_count() == before


def test_code_that_swallows_the_interrupt_is_interrupted_again() -> None:
    with pytest.raises(TimeoutError):
        run_with_deadline(lambda: spin_and_swallow(3), 0.05)


def test_interrupt_thread_raises_the_given_exception_in_the_thread() -> None:
    running, seen = threading.Event(), []

    def work() -> None:
        running.set()
        try:
            spin()
        except Stop as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(60)
    assert thread.ident is not None
    assert interrupt_thread(thread.ident, Stop)
    thread.join(60)
    assert [type(error) for error in seen] == [Stop]


def test_a_thread_that_has_ended_cannot_be_interrupted() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.ident is not None
    assert not interrupt_thread(thread.ident, Stop)


def test_work_that_has_not_begun_or_is_over_cannot_be_interrupted() -> None:
    work = Interruptible()
    assert not work.interrupt(Stop)
    assert work.run(lambda: "done") == "done"
    assert not work.interrupt(Stop)


def test_an_interrupt_that_arrives_when_the_work_is_over_never_hits_what_the_thread_does_next() -> None:
    work, results = Interruptible(), list[str]()

    def worker() -> None:
        results.append(work.run(lambda: "done"))
        results.append("went on")

    thread = threading.Thread(target=worker)
    with work._lock:  # as if `interrupt` had just looked: the work ends now, and waits here
        thread.start()
        wait_until(lambda: current_function(thread) == "_discard_late_interrupt")
        work._interrupted_by = Stop
        assert interrupt_thread(thread.ident or 0, Stop)
    thread.join(60)
    assert results == ["done", "went on"]


def current_function(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame.f_code.co_name if frame else ""


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"


def test_nothing_is_left_behind_that_disturbs_a_traced_program() -> None:
    """An exception that is set and cleared leaves CPython 3.11 with a flag on which traced code hangs."""
    code = """
import cProfile
from celeriac.core.interrupt import run_with_deadline
assert run_with_deadline(lambda: 1, 5) == 1
try:
    run_with_deadline(lambda: [0 for _ in iter(int, 1)], 0.05)
except TimeoutError:
    pass
profile = cProfile.Profile()
profile.enable()
sorted(range(1000), key=lambda n: -n)
profile.disable()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
