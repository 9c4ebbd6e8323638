"""Replays: of one delivery, of all that failed since a time, and of a whole endpoint. And whose events are whose."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.hook_receiver import HookReceiver
from tests.support.hooks import Hooks
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABORTS = (500, {"webhook-delivery": "abort-message"})


async def test_what_failed_is_sent_again_one_by_one_since_a_time_or_all_of_an_endpoint(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    receiver.plan["/a"] = receiver.plan["/b"] = [ABORTS, 200]
    a = await hooks.add(f"{receiver.url}/a", event_types=["a.*"])
    await hooks.add(f"{receiver.url}/b", event_types=["b.*"])
    early = [await _failed(hooks, "a.x") for _ in range(3)]
    since = datetime.now(UTC).isoformat()
    late = [await _failed(hooks, "a.x"), await _failed(hooks, "b.x")]

    one = early.pop()
    assert (await hooks.call("POST", f"/deliveries/{one['id']}/replay", ok=202))["state"] == "pending"
    await _arrived(receiver, one)

    await _replayed(hooks, {"since": since, "endpoint": a["id"]}, count=1)
    await _arrived(receiver, late[0])
    assert receiver.by_message["/b", late[1]["event"]] == 1

    job = await _replayed(hooks, {"endpoint": a["id"]}, count=2)
    for delivery in early:
        await _arrived(receiver, delivery)
    assert (job["progress"]["done"], job["progress"]["total"]) == (2, 2)
    assert (await hooks.client.get(f"/jobs/{job['id']}/result")).json()["result"] == 2
    assert await hooks.call("POST", "/replays", json={"endpoint": a["id"]}) == {"count": 0, "job": None}


async def test_events_go_to_endpoints_of_their_owner_only(hooks: Hooks, receiver: HookReceiver) -> None:
    owners = {"ann": f"{hooks.owner[:80]}-ann", "bob": f"{hooks.owner[:80]}-bob"}
    for name, owner in owners.items():
        await hooks.add(f"{receiver.url}/{name}", owner=owner, event_types=["*"])
    event = await hooks.send(owner=owners["ann"])
    assert [one["state"] for one in await hooks.ended(event["id"])] == ["delivered"]
    assert (len(receiver.of("/ann")), receiver.of("/bob")) == (1, [])
    shown = await hooks.call("GET", "/endpoints", params={"owner": owners["bob"]})
    assert [one["url"] for one in shown["endpoints"]] == [f"{receiver.url}/bob"]


async def _failed(hooks: Hooks, event_type: str) -> dict[str, Any]:
    event = await hooks.send(event_type)
    (delivery,) = await hooks.ended(event["id"])
    assert delivery["state"] == "aborted"
    return delivery


async def _arrived(receiver: HookReceiver, delivery: dict[str, Any]) -> None:
    await eventually(lambda: any(message == delivery["event"] for _, message in receiver.taken), "it arrives")


async def _replayed(hooks: Hooks, form: dict[str, Any], *, count: int) -> dict[str, Any]:
    """Ask for a replay, and return its job once it has ended."""
    answer = await hooks.call("POST", "/replays", ok=202, json=form)
    assert answer["count"] == count

    async def ended() -> dict[str, Any] | None:
        job = (await hooks.client.get(f"/jobs/{answer['job']}")).json()
        return job if job["state"] == "succeeded" else None

    await eventually(ended, "the replay has ended")
    return (await hooks.client.get(f"/jobs/{answer['job']}")).json()
