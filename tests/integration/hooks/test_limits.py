"""The limits of endpoints, through a real worker."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.hook_receiver import HookReceiver
from tests.support.hooks import Hooks
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_endpoint_has_no_more_requests_at_a_time_than_it_asks_for(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    receiver.plan["/three"] = ["late"]
    await hooks.add(f"{receiver.url}/three", event_types=["order.paid"], concurrency=3)
    await hooks.add(f"{receiver.url}/other", event_types=["order.sent"])
    events = [await hooks.send() for _ in range(10)]
    await eventually(lambda: len(receiver.of("/three")) == 3, "three are under way")
    await hooks.ended((await hooks.send("order.sent"))["id"])  # the worker has had time for others
    assert len(receiver.of("/three")) == 3
    receiver.released.set()
    for event in events:
        assert [one["state"] for one in await hooks.ended(event["id"])] == ["delivered"]
    assert len(receiver.of("/three")) == 10


@pytest.mark.alone
@pytest.mark.slow
async def test_an_endpoint_has_no_more_requests_a_second_than_it_asks_for(hooks: Hooks, receiver: HookReceiver) -> None:
    await hooks.add(f"{receiver.url}/ten", rate=10)
    began = time.monotonic()
    await asyncio.gather(*(hooks.send() for _ in range(30)))
    await eventually(lambda: len(receiver.of("/ten")) == 30, "all of them arrive")
    assert time.monotonic() - began >= 1.9  # ten at once, and twenty at ten a second
    assert all(times == 1 for times in receiver.by_message.values())


@pytest.mark.slow
async def test_one_dead_endpoint_delays_no_other(hooks: Hooks, receiver: HookReceiver) -> None:
    receiver.plan["/dead"] = ["hang"]
    await hooks.add(f"{receiver.url}/dead", event_types=["order.lost"])
    await hooks.add(f"{receiver.url}/alive", event_types=["order.paid"])
    lost = [hooks.send("order.lost") for _ in range(300)]  # more than the worker runs at a time
    await asyncio.gather(*lost)
    paid = [await hooks.send() for _ in range(20)]
    await eventually(lambda: len(receiver.of("/alive")) == len(paid), "the living one has its own", within=20)
