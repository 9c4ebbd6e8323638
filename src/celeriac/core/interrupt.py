"""Interrupts Python code that runs in another thread.

CPython can raise an exception in another thread (`PyThreadState_SetAsyncExc`). The exception arrives between two
bytecodes. So it stops any loop written in Python, but a call into C (a query, a sleep, a huge multiplication) returns
first.

Delivery is asynchronous, so an exception for one piece of work may arrive when that work is over. `Interruptible`
discards late exceptions, so that they never hit the thread's next work.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# An interrupted thread may swallow the exception (`except Exception: pass`), so it is raised again.
_REPEAT_S = 0.02

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exc.restype = ctypes.c_int


class DeadlineInterrupt(BaseException):
    """Raised inside a function that `run_with_deadline` stops. It is a `BaseException`, so that `except Exception`
    in the interrupted code does not swallow it. No other module needs to catch it."""


class _Arrived(BaseException):
    """The replacement of an interrupt that came too late."""


def interrupt_thread(thread_id: int, exception_type: type[BaseException]) -> bool:
    """Raise `exception_type` in the thread `thread_id` (`threading.get_ident()`) as soon as it runs Python code.

    Return False if that thread does not exist (any more). If the exception of an earlier call has not arrived yet,
    this one replaces it.
    """
    return _set_async_exc(thread_id, exception_type) > 0


class Interruptible:
    """A piece of work that other threads may interrupt, but only while it runs.

    work = Interruptible()
    # in the worker thread:     result = work.run(function)
    # in any other thread:      work.interrupt(JobInterrupted)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._interrupted_by: type[BaseException] | None = None

    def interrupt(self, exception_type: type[BaseException]) -> bool:
        """Raise `exception_type` inside the work. Return False if the work has not begun or is over."""
        with self._lock:
            if self._thread_id is None:
                return False
            self._interrupted_by = exception_type
            return interrupt_thread(self._thread_id, exception_type)

    def run(self, function: Callable[[], T]) -> T:
        """Call `function` in this thread and return its result, or raise what it (or an interrupt) raises."""
        self._thread_id = threading.get_ident()
        try:
            try:
                return function()
            finally:
                self._discard_late_interrupt()
        finally:
            self._thread_id = None

    def _discard_late_interrupt(self) -> None:
        """Prevent new interrupts, and wait for one that is on its way."""
        try:
            with self._lock:
                self._thread_id = None
            if self._interrupted_by is not None:
                # The interrupt may have arrived or not. Replace it, and wait for the replacement. (Clearing it would
                # work too, but CPython 3.11 would then check for one at every call of every thread, for ever.)
                interrupt_thread(threading.get_ident(), _Arrived)
                while True:
                    pass
        except BaseException as error:
            if type(error) not in (_Arrived, self._interrupted_by):
                raise


class _Call:
    """A function that runs in its own thread, and its outcome."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._work = Interruptible()
        self._result: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="celeriac-deadline", daemon=True)

    def _main(self) -> None:
        try:
            self._result = self._work.run(self._function)
        except BaseException as error:
            self._error = error

    def start(self) -> None:
        self._thread.start()

    def finished_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def interrupt_until_finished(self) -> None:
        while self._work.interrupt(DeadlineInterrupt) or self._thread.is_alive():
            self._thread.join(_REPEAT_S)

    def outcome(self) -> object:
        if self._error is not None:
            raise self._error
        return self._result


def run_with_deadline(function: Callable[[], T], seconds: float) -> T:
    """Call `function` in a new thread and return its result. Stop it when `seconds` have passed.

    This blocks the calling thread. From a coroutine, use `await asyncio.to_thread(run_with_deadline, ...)`. Only Python
    code can be stopped: a long call into C runs to its end first. This returns only when the thread has ended, so that
    no work continues unseen.

    Raises:
        TimeoutError: the deadline passed before the function returned.
    """
    call = _Call(function)
    call.start()
    if not call.finished_within(seconds):
        call.interrupt_until_finished()
    try:
        return call.outcome()  # type: ignore[return-value]  # _Call keeps what `function` returned
    except DeadlineInterrupt:
        raise TimeoutError(f"took longer than {seconds:g} s") from None
