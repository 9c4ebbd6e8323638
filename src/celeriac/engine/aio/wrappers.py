"""Makes Celery's wrappers of a task's function wait for coroutines: they take a returned value for the result."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

from celeriac.engine import bridge


def awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make Celery's wrapper for `pydantic=True` around an `async def` function wait for the coroutine.

    The wrapper validates the arguments, calls the function and dumps what it returns, which would be a coroutine. The
    new function runs the wrapper across the bridge. Any other function is returned unchanged.
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
    """Make Celery's `map` and `starmap`, which call a task once for each item, work with `async def` tasks.

    Such calls return coroutines. The new function returns one coroutine that awaits them in turn.
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
        for left in waiting:  # those after one that failed
            if inspect.iscoroutine(left):
                left.close()


def _waited_for(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        return bridge.wait(returned) if inspect.isawaitable(returned) else returned

    return run


def _with(wrapper: FunctionType, old: Any, new: Any) -> FunctionType:
    """Copy a wrapper, with `new` in place of the function `old` in its closure."""
    cells = tuple(CellType(new) if cell.cell_contents is old else cell for cell in wrapper.__closure__ or ())
    copy = FunctionType(wrapper.__code__, wrapper.__globals__, wrapper.__name__, wrapper.__defaults__, cells)
    copy.__kwdefaults__ = wrapper.__kwdefaults__
    return copy
