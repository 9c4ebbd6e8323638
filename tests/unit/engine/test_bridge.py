"""Synchronous code that waits on an event loop."""

from __future__ import annotations

import asyncio
import traceback
from contextvars import ContextVar
from typing import Any

import pytest

from celeriac.engine import bridge

mark: ContextVar[str] = ContextVar("mark", default="none")


async def answer(value: Any, turns: int = 1) -> Any:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(message: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(message)


async def test_it_waits_as_often_as_it_likes() -> None:
    def add(*numbers: int) -> int:
        return sum(bridge.wait(answer(number)) for number in numbers)

    assert await bridge.call(add, 1, 2, 3) == 6


async def test_what_does_not_wait_is_simply_called() -> None:
    assert await bridge.call(bridge.can_wait) is True
    assert bridge.can_wait() is False
    assert await bridge.call(divmod, 7, 2) == (3, 1)


async def test_one_call_within_another() -> None:
    async def between(value: int) -> int:
        await asyncio.sleep(0)
        return await bridge.call(lambda: bridge.wait(answer(value)) + 1)

    assert await bridge.call(lambda: bridge.wait(between(1)) * 10) == 20


async def test_errors_pass_in_both_directions_and_keep_their_way() -> None:
    def in_the_middle() -> None:
        try:
            bridge.wait(fail("inner"))
        except ValueError as error:
            raise KeyError("outer") from error

    with pytest.raises(KeyError, match="outer") as caught:
        await bridge.call(in_the_middle)
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-1] == "in_the_middle"
    names = [frame.name for frame in traceback.extract_tb(cause.__traceback__)]
    assert names[0] == "in_the_middle"
    assert names[-1] == "fail"


async def test_a_cancellation_arrives_where_it_waits() -> None:
    seen: list[str] = []

    def wait_for_ever() -> None:
        try:
            bridge.wait(asyncio.Event().wait())
        except asyncio.CancelledError:
            seen.append(str(bridge.wait(answer("cleaned up"))))
            raise

    task = asyncio.create_task(bridge.call(wait_for_ever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cleaned up"]


async def test_context_variables_are_those_of_the_coroutine() -> None:
    def change() -> str:
        before = mark.get()
        mark.set("by the call")
        assert bridge.wait(answer_mark()) == "by the call"
        return before

    async def answer_mark() -> str:
        await asyncio.sleep(0)
        return mark.get()

    mark.set("by the coroutine")
    assert await bridge.call(change) == "by the coroutine"
    assert mark.get() == "by the call"


async def test_calls_that_run_at_the_same_time_do_not_mix() -> None:
    def count(name: str, turns: int) -> list[str]:
        mark.set(name)
        return [bridge.wait(answer(name, turn)) + mark.get() for turn in range(turns)]

    calls = [asyncio.create_task(bridge.call(count, name, 5)) for name in "abc"]
    assert await asyncio.gather(*calls) == [[name * 2] * 5 for name in "abc"]


async def test_what_blocks_goes_to_a_thread_where_code_may_wait() -> None:
    import threading

    here = threading.get_ident()
    assert bridge.blocking(threading.get_ident) == here
    assert await bridge.call(bridge.blocking, threading.get_ident) != here
