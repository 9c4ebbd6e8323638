"""Tracebacks are bounded, and show the user's frames."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from types import TracebackType

import pytest
from celery import Celery

from celeriac.core.errors import JobTimedOut
from celeriac.engine import log_records
from celeriac.engine.log_records import install
from celeriac.engine.tracebacks import format_error
from tests.support.odd_errors import Mute, Proxy, Touchy


def caught(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_frames_of_celery_in_between_are_folded() -> None:
    app = Celery("fold", set_as_current=False)

    @app.task(shared=False)
    def broken() -> None:
        raise ValueError("inside")

    shown = format_error(caught(lambda: broken.apply(throw=True).get()))
    assert "celery/app" not in shown
    assert "frames of Celeriac and Celery …" in shown
    assert "in broken\n" in shown


def test_all_frames_are_shown_at_level_debug() -> None:
    app, log = Celery("fold", set_as_current=False), logging.getLogger("celeriac.engine")

    @app.task(shared=False)
    def broken() -> None:
        raise ValueError("inside")

    level = log.level
    log.setLevel(logging.DEBUG)
    try:
        shown = format_error(caught(lambda: broken.apply(throw=True).get()))
    finally:
        log.setLevel(level)
    assert "celery/app" in shown
    assert "frames of Celeriac" not in shown


def test_a_fault_of_the_machinery_shows_its_frames_and_a_refusal_does_not() -> None:
    def from_machinery(error: BaseException) -> TracebackType | None:
        frames = caught(lambda: asyncio.run(_raising(error))).__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        return frames

    async def _raising(error: BaseException) -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        await future

    def only_machinery(frames: TracebackType | None) -> TracebackType | None:
        """The frames of asyncio that lead to this file."""
        return None if frames is None else TracebackType(None, frames.tb_frame, frames.tb_lasti, frames.tb_lineno)

    fault, refusal = RuntimeError("inside"), JobTimedOut("too long")
    assert "asyncio" in format_error(fault, only_machinery(from_machinery(fault)))
    shown = format_error(refusal, only_machinery(from_machinery(refusal)))
    assert "File" not in shown
    assert shown.endswith("JobTimedOut: too long\n")


def test_a_deep_recursion_shows_its_beginning_and_its_end() -> None:
    def descend(depth: int) -> int:
        return descend(depth + 1)

    shown = format_error(caught(lambda: descend(0)))
    assert "more frames …" in shown
    assert shown.count("\n") < 60
    assert "RecursionError" in shown


def test_a_wide_and_deep_group_is_cut_and_says_so() -> None:
    def leaf(depth: int) -> Exception:
        if not depth:
            return ValueError("leaf")
        return ExceptionGroup(f"level {depth}", [leaf(depth - 1) for _ in range(12)])

    shown = format_error(leaf(3))
    assert shown.count("ValueError: leaf") < 60
    assert "… 2 more exceptions in the group …" in shown
    assert len(shown) <= 32_000


def test_notes_and_messages_begin_no_line() -> None:
    error = ValueError("one\n[2026] two")
    error.add_note("[2026] three\n[2026] four")
    assert "\n[2026]" not in format_error(error)
    assert "\n[2026]" not in format_error(NameError("x\n[2026] y"))


def test_python_still_helps_with_syntax_errors() -> None:
    shown = format_error(caught(lambda: compile("a b c", "user.py", "exec")))
    assert '  File "user.py", line 1\n    a b c\n' in shown
    assert shown.endswith("SyntaxError: invalid syntax\n")


def test_log_lines_of_the_worker_are_made_safe_and_those_of_users_are_not() -> None:
    install()
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    for name in ("celery.app.trace", "tests.of.users"):
        log, handler = logging.getLogger(name), Keep()
        log.addHandler(handler)
        try:
            log.error("%s, %r, %d", "a\nb", ValueError("c\nd"), 3)
            try:
                raise ValueError("x" * 100_000)
            except ValueError:
                log.exception("it %s", "broke\x1b[2J")
        finally:
            log.removeHandler(handler)
    safe, with_traceback, raw, whole = seen
    assert safe == r"a\nb, ValueError('c\nd'), 3"
    assert with_traceback.startswith("it broke\\x1b[2J\nTraceback")
    assert len(with_traceback) < 10_000
    assert raw == "a\nb, ValueError('c\\nd'), 3"
    assert len(whole) > 100_000


@pytest.mark.parametrize("kind", [Proxy, Touchy, Mute])
def test_an_exception_that_does_not_bear_to_be_looked_at_is_told_all_the_same(kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind("no response")

    assert f"{kind.__name__}: " in format_error(caught(fail))


_FORGED = "bad\n[2026-11-28 09:00:00,000: INFO/MainProcess] paid \x1b[2J"


def _raise_syntax_error() -> None:
    raise SyntaxError(_FORGED, (_FORGED, 1, 1, f"x {_FORGED}", 1, 2))


def _raise_in_odd_file() -> None:
    exec(compile("1 / 0", _FORGED, "exec"))


@pytest.mark.parametrize("function", [_raise_syntax_error, _raise_in_odd_file])
def test_no_part_of_a_traceback_begins_a_line_of_a_log(function: Callable[[], None]) -> None:
    shown = format_error(caught(function))
    assert "paid" in shown
    assert "\n[2026" not in shown
    assert "\x1b" not in shown


def test_what_python_says_of_threads_and_tasks_that_failed_begins_no_line(caplog: pytest.LogCaptureFixture) -> None:
    log_records.install()

    def fail() -> None:
        raise ValueError(_FORGED)

    thread = threading.Thread(target=fail)
    with_hook, threading.excepthook = threading.excepthook, log_records.log_end_of_thread
    try:
        thread.start()
        thread.join()
    finally:
        threading.excepthook = with_hook
    logging.getLogger("asyncio").error("Task exception was never retrieved\n%s", _FORGED, exc_info=caught(fail))
    shown = "\n".join(map(logging.Formatter().format, caplog.records))
    assert shown.count("paid") == 3
    assert "\n[2026" not in shown
    assert "\x1b" not in shown


def test_a_log_line_that_is_an_exception_is_one_line() -> None:
    log_records.install()
    make = logging.getLogRecordFactory()
    record = make("celeriac.x", logging.ERROR, "f", 1, ValueError("a\n[2026-11-28] forged \x1b"), (), None)
    assert record.getMessage() == "a\n    [2026-11-28] forged \\x1b"
