"""Threads for `def` tasks, and taking turns with them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from celeriac.engine.aio.slots import NoSlot
from celeriac.engine.aio.threads import Threads
from tests.support.waiting import eventually


def make(limit: int) -> Threads:
    return Threads(asyncio.get_running_loop(), limit)


async def call(threads: Threads, function: Callable[[], object]) -> object:
    await threads.reserve()
    return await threads.run(function)


async def test_functions_run_in_threads_and_return_or_raise() -> None:
    threads = make(2)
    assert await call(threads, threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await call(threads, lambda: 1 / 0)
    with pytest.raises(SystemExit):
        await call(threads, lambda: exec("raise SystemExit(3)"))
    await eventually(lambda: threads.free == 2)


async def test_a_function_that_raises_what_no_future_takes_does_not_hold_up_others() -> None:
    threads = make(3)
    iterator = iter(())
    calls = [call(threads, lambda: next(iterator)), *(call(threads, lambda n=n: n) for n in range(5))]
    first, *others = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
    assert isinstance(first, RuntimeError)
    assert others == list(range(5))


async def test_no_more_run_at_a_time_than_there_are_threads() -> None:
    threads, lock, running, most = make(3), threading.Lock(), 0, 0
    gate = threading.Event()

    def work() -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1
        return threading.current_thread().name

    calls = [asyncio.create_task(call(threads, work)) for _ in range(20)]
    await eventually(lambda: running == 3 and threads.waiting == 17)
    gate.set()
    assert len(set(await asyncio.gather(*calls))) == 3
    assert (most, threads.free) == (3, 3)


async def test_who_came_first_is_first() -> None:
    threads, order = make(1), list[int]()
    await asyncio.gather(*(call(threads, lambda n=n: order.append(n)) for n in range(50)))
    assert order == list(range(50))


async def test_who_may_leave_is_turned_away_when_nothing_moves_the_last_one_first() -> None:
    threads, away = make(1), list[int]()
    await threads.reserve()

    async def wait(number: int) -> None:
        try:
            await threads.reserve(may_leave=True)
        except NoSlot:
            away.append(number)

    stays = asyncio.create_task(threads.reserve())
    await asyncio.gather(*(wait(number) for number in range(5)))
    assert away == [4, 3, 2, 1, 0]
    assert (threads.waiting, threads.free) == (1, 0)
    threads.release()
    await stays


async def test_who_is_cancelled_while_waiting_takes_nothing_along() -> None:
    threads = make(1)
    await threads.reserve()
    before, during = (asyncio.create_task(threads.reserve()) for _ in range(2))
    await asyncio.sleep(0)
    before.cancel()  # while it waits
    await asyncio.sleep(0)
    threads.release()
    during.cancel()  # in the moment in which it gets the thread
    for task in (before, during):
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
    assert threads.free == 1


async def test_an_outcome_that_nobody_waits_for_any_more_frees_its_thread() -> None:
    threads, gate = make(1), threading.Event()
    await threads.reserve()
    future = threads.run(lambda: gate.wait(10))
    future.cancel()
    assert threads.free == 0  # as long as it runs
    gate.set()
    await eventually(lambda: threads.free == 1)
    assert await call(threads, lambda: "next") == "next"


async def test_others_are_woken_beside_a_thread_that_has_something_long_to_do() -> None:
    threads, gate = make(4), threading.Event()
    calls = [asyncio.create_task(call(threads, lambda: gate.wait(10))) for _ in range(3)]
    assert await call(threads, lambda: "beside them") == "beside them"
    gate.set()
    assert await asyncio.gather(*calls) == [True] * 3


async def test_there_is_room_to_wait_for_as_many_as_have_their_turn_soon_and_no_trickle() -> None:
    threads = make(4)
    assert threads.room_to_wait == 4
    waiting = [asyncio.create_task(threads.reserve()) for _ in range(4 + 3)]
    await asyncio.sleep(0)
    assert (threads.waiting, threads.room_to_wait) == (3, 0)
    threads.release()
    assert (threads.waiting, threads.room_to_wait) == (2, 2)
    for task in waiting:
        threads.release()
        await task
