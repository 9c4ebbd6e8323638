"""Calls obstore in threads of our own.

Its asynchronous functions hand their answers over in threads of its native runtime, for which nobody can wait. When
the interpreter ends meanwhile, Python ends such a thread in the middle of native code, and the process dies with
SIGABRT: after one short command in six. For the threads here, the interpreter waits before it ends, but not for ever:
a bucket may take a minute to fail, and nobody awaits such a call any more.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

#: Calls at a time; others wait. A bucket takes about 50 ms for each, and a part of a large file takes a second.
_MOST_THREADS = 64
#: How long the end of the process waits for calls that have begun. Whoever awaits one keeps the process itself.
_LAST_CALLS_S = 5.0


def in_thread(call: Callable[..., T], *arguments: Any, **options: Any) -> asyncio.Future[T]:
    """Call it, and tell what it returns. One that has begun goes on when nobody awaits it any more."""
    return asyncio.get_running_loop().run_in_executor(_pool, partial(call, *arguments, **options))


class _Pool(Executor):
    """Threads that do not keep the process, as those of `ThreadPoolExecutor` do."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._open = 0
        self._threads = 0
        self._has_ended = threading.Condition()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        with self._has_ended:
            if self._threads <= self._open and self._threads < _MOST_THREADS:
                # Counted when it has started: a process at its limits may get none.
                threading.Thread(target=self._work, name=f"celeriac-storage_{self._threads}", daemon=True).start()
                self._threads += 1
            self._open += 1
            self._calls.put((future, partial(fn, *args, **kwargs)))
        return future

    def wait(self, patience_s: float) -> None:
        """Wait until all calls have ended, but no longer than so many seconds."""
        with self._has_ended:
            self._has_ended.wait_for(lambda: not self._open, patience_s)

    def _work(self) -> None:
        while True:
            _answer(*self._calls.get())
            with self._has_ended:
                self._open -= 1
                self._has_ended.notify_all()


def _answer(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        returned = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(returned)


_pool = _Pool()


def _begin_anew() -> None:
    """Forget the pool in a forked process, which has none of its parent's threads."""
    global _pool
    _pool = _Pool()


atexit.register(lambda: _pool.wait(_LAST_CALLS_S))
os.register_at_fork(after_in_child=_begin_anew)
