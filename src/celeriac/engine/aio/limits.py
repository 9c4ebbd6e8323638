"""Applies Celery's soft and hard time limits to a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded


class HardLimitPassed(BaseException):
    """Raised to the code that awaits a task when its hard limit passes. Whoever catches it records the failure."""


class Limited:
    """Awaits a coroutine under a soft and a hard limit, both in seconds.

    The soft limit raises `SoftTimeLimitExceeded` inside the coroutine, at its `await`. The coroutine may catch it and
    clean up. The hard limit cancels the coroutine, and raises `HardLimitPassed` to the code that awaits.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        soft: float | None,
        hard: float | None,
        on_soft: Callable[[], None],
    ) -> None:
        self._coroutine = coroutine
        self._soft = soft
        self._hard = hard
        self._on_soft = on_soft
        self._task = asyncio.current_task()
        self._passed: type[BaseException] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        loop = asyncio.get_running_loop()
        timers = [
            loop.call_later(limit, self._interrupt, error)
            for limit, error in ((self._soft, SoftTimeLimitExceeded), (self._hard, HardLimitPassed))
            if limit
        ]
        try:
            return (yield from self._drive())
        except asyncio.CancelledError:
            if self._passed is HardLimitPassed and self._task is not None and self._task.cancelling() == 1:
                raise HardLimitPassed from None
            raise
        finally:
            for timer in timers:
                timer.cancel()
            if self._passed is not None and self._task is not None:
                self._task.uncancel()

    def _interrupt(self, limit: type[BaseException]) -> None:
        if self._passed is HardLimitPassed:
            return
        if limit is SoftTimeLimitExceeded:
            self._on_soft()
        # After a blocked loop, both limits may pass in one turn. One cancellation then serves for both.
        on_its_way, self._passed = self._passed is not None, limit
        if self._task is not None and not on_its_way:
            self._task.cancel()  # the only way to interrupt the coroutine at its `await`

    def _drive(self) -> Generator[Any, Any, Any]:
        """Run the coroutine like `yield from`, but turn a cancellation by the soft limit into its exception."""
        step: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            try:
                sent = yield waits_for
            except asyncio.CancelledError as error:
                step = self._throw(self._exception_for(error))
            except BaseException as error:
                step = self._throw(error)
            else:
                step = self._send(sent)

    def _exception_for(self, error: asyncio.CancelledError) -> BaseException:
        """Return the exception that a cancellation means. If the soft limit caused it, take the cancellation back."""
        if self._passed is not SoftTimeLimitExceeded or self._task is None:
            return error
        self._passed = None
        self._task.uncancel()
        return SoftTimeLimitExceeded()

    def _send(self, value: Any) -> Callable[[], Any]:
        return lambda: self._coroutine.send(value)

    def _throw(self, error: BaseException) -> Callable[[], Any]:
        return lambda: self._coroutine.throw(error)
