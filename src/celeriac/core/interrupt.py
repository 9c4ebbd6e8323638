"""Interrupting Python code that runs in another thread.

CPython can raise an exception in a thread from outside (`PyThreadState_SetAsyncExc`). It arrives between two
bytecodes, so it stops any loop written in Python, and waits for a call into C (a query, a sleep, a huge
multiplication) to return.

Delivery is asynchronous, so an exception aimed at one piece of work may arrive when that work is over.
`Interruptible` draws the line: what arrives late is discarded, and never hits the thread's next work.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A thread that is being interrupted may swallow the exception (`except Exception: pass`), so it is repeated.
_REPEAT_SECONDS = 0.02

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exc.restype = ctypes.c_int


class DeadlineInterrupt(BaseException):
    """Raised inside a function that `run_with_deadline` stops. A `BaseException`, so that `except Exception`
    in the interrupted code does not swallow it; nothing outside this module needs to catch it."""


class _Arrived(BaseException):
    """Takes the place of an interrupt that came too late."""


def interrupt_thread(thread_id: int, exception_type: type[BaseException]) -> bool:
    """Raise `exception_type` in the thread `thread_id` (`threading.get_ident()`) as soon as it runs Python code.

    Returns False if there is no such thread (any more). A second call before the first one's exception has
    arrived replaces it.
    """
    return _set_async_exc(thread_id, exception_type) > 0


class Interruptible:
    """One piece of work that other threads may interrupt while, and only while, it runs.

    work = Interruptible()
    # in the worker thread:     result = work.run(function)
    # in any other thread:      work.interrupt(JobInterrupted)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._interrupted_by: type[BaseException] | None = None

    def interrupt(self, exception_type: type[BaseException]) -> bool:
        """Raise `exception_type` inside the work. Returns False if it has not begun or is over."""
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
        """Nothing can interrupt from here on, and what is on its way arrives here."""
        try:
            with self._lock:
                self._thread_id = None
            if self._interrupted_by is not None:
                # It may have arrived or not. This replaces it, and is waited for. (To clear it would do, but
                # leaves CPython 3.11 checking for it at every call of every thread, for good.)
                interrupt_thread(threading.get_ident(), _Arrived)
                while True:
                    pass
        except BaseException as error:
            if type(error) not in (_Arrived, self._interrupted_by):
                raise


class _Call:
    """A function running in a thread of its own, and what came of it."""

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
            self._thread.join(_REPEAT_SECONDS)

    def outcome(self) -> object:
        if self._error is not None:
            raise self._error
        return self._result


def run_with_deadline(function: Callable[[], T], seconds: float) -> T:
    """Call `function` in a fresh thread and return its result; stop it when `seconds` have passed.

    Blocks the calling thread: from a coroutine, use `await asyncio.to_thread(run_with_deadline, ...)`. Only Python
    code can be stopped: a long call into C runs to its end first. Returns only when the thread has ended, so that no
    work goes on unseen.

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
