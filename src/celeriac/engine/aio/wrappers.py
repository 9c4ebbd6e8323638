"""What Celery wraps a task's function in, where that expects the function to be done when it returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

from celeriac.engine import bridge


def awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function that does the same as Celery's wrapper for `pydantic=True` around an `async def` function.

    The wrapper validates the arguments, calls the function and dumps what it returns, which is a coroutine. Here the
    wrapper runs across the bridge, and waits for the coroutine. Any other function is returned as it is.
    """
    wrapper: Any = getattr(function, "__func__", function)
    own: Any = getattr(wrapper, "__wrapped__", None)
    if not hasattr(wrapper, "dump_arguments") or not inspect.iscoroutinefunction(inspect.unwrap(own)):
        return function
    bound = (function.__self__,) if inspect.ismethod(function) else ()
    validating = functools.partial(_with(wrapper, own, _waited_for(own)), *bound)

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return await bridge.call(functools.partial(validating, *args, **kwargs))

    return run


def awaiting_each(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same as Celery's `map` and `starmap`, which call a task for each of many items, also of `async def` tasks.

    Those calls return coroutines. Here they are awaited in turn, by whoever has called the function.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        results = function(*args, **kwargs)
        return _awaited_in_turn(results) if any(map(inspect.iscoroutine, results)) else results

    return run


async def _awaited_in_turn(results: list[Any]) -> list[Any]:
    waiting = iter(results)
    try:
        return [await result if inspect.iscoroutine(result) else result for result in waiting]
    finally:
        for left in waiting:  # after one that has failed
            if inspect.iscoroutine(left):
                left.close()


def _waited_for(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        return bridge.wait(returned) if inspect.isawaitable(returned) else returned

    return run


def _with(wrapper: FunctionType, old: Any, new: Any) -> FunctionType:
    """A copy of a wrapper that calls `new` where that one calls `old`."""
    cells = tuple(CellType(new) if cell.cell_contents is old else cell for cell in wrapper.__closure__ or ())
    copy = FunctionType(wrapper.__code__, wrapper.__globals__, wrapper.__name__, wrapper.__defaults__, cells)
    copy.__kwdefaults__ = wrapper.__kwdefaults__
    return copy
