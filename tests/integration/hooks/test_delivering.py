"""Events from the HTTP request to the receiver, through a real worker."""

from __future__ import annotations

import json

import pytest

from tests.support.hook_receiver import HookReceiver
from tests.support.hooks import Hooks

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_event_goes_signed_to_each_endpoint_that_wants_it(hooks: Hooks, receiver: HookReceiver) -> None:
    one = await hooks.add(f"{receiver.url}/one", event_types=["order.*"], headers={"Authorization": "Bearer 12345678"})
    await hooks.add(f"{receiver.url}/two", event_types=["*"])
    await hooks.add(f"{receiver.url}/three", event_types=["invoice.paid"])
    event = await hooks.send("order.paid", {"order": 7})
    assert len(await hooks.ended(event["id"])) == 2
    (hook,) = receiver.of("/one")
    assert hook.id == event["id"] and hook.is_signed([one["secret"]])
    assert json.loads(hook.body)["data"] == {"order": 7} and json.loads(hook.body)["type"] == "order.paid"
    assert hook.headers["authorization"] == "Bearer 12345678"
    assert len(receiver.of("/two")) == 1 and receiver.of("/three") == []
