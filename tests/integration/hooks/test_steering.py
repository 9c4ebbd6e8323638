"""Cancelling, changing and disabling while deliveries are under way, through a real worker."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from celeriac import Settings
from tests.support.hook_receiver import HookReceiver
from tests.support.hooks import Hooks
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_delivery_whose_job_is_cancelled_ends_and_the_next_one_in_order_follows_at_once(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    receiver.plan["/ordered"] = [(500, {"Retry-After": "3600"})]
    await hooks.add(f"{receiver.url}/ordered", fifo=True)
    head, following = await hooks.send(), await hooks.send()
    await eventually(lambda: _tried(hooks, head["id"]), "the head is tried")
    (delivery,) = await hooks.deliveries(event=head["id"])
    receiver.plan["/ordered"] = [200]
    cancelled = await hooks.client.post(f"/jobs/{delivery['job']}/cancel")
    assert cancelled.status_code in (200, 202), "202: its worker has noted the try, and not yet that it will try again"
    await eventually(lambda: _is(hooks, delivery["id"], "aborted"), "the head ends")
    await eventually(lambda: receiver.taken["/ordered", following["id"]], "the one behind it arrives")


async def test_a_delivery_whose_job_is_cancelled_during_its_request_ends(hooks: Hooks, receiver: HookReceiver) -> None:
    receiver.plan["/hangs"] = ["hang"]
    await hooks.add(f"{receiver.url}/hangs", concurrency=1)
    first, behind = await hooks.send(), await hooks.send()
    await eventually(lambda: receiver.of("/hangs"), "a request is under way")
    under_way = receiver.of("/hangs")[0].id
    in_line = behind["id"] if under_way == first["id"] else first["id"]
    for event in (in_line, under_way):
        (delivery,) = await hooks.deliveries(event=event)
        assert (await hooks.client.post(f"/jobs/{delivery['job']}/cancel")).status_code in (200, 202)
        await eventually(lambda one=delivery["id"]: _is(hooks, one, "aborted"), "it has ended")  # type: ignore[misc]
    assert len(receiver.of("/hangs")) == 1


async def test_what_waits_in_line_heeds_a_change_of_its_endpoint(hooks: Hooks, receiver: HookReceiver) -> None:
    receiver.plan["/first"] = ["late"]
    endpoint = await hooks.add(f"{receiver.url}/first", concurrency=1)
    events = [await hooks.send() for _ in range(3)]
    await eventually(lambda: receiver.of("/first"), "a request is under way, and the others are in line")
    await hooks.call("PATCH", f"/endpoints/{endpoint['id']}", json={"url": f"{receiver.url}/second"})
    receiver.released.set()
    for event in events:
        await hooks.ended(event["id"])
    assert (len(receiver.of("/first")), len(receiver.of("/second"))) == (1, 2)


async def test_what_waits_in_line_is_held_if_its_endpoint_is_disabled(hooks: Hooks, receiver: HookReceiver) -> None:
    receiver.plan["/off"] = ["late"]
    endpoint = await hooks.add(f"{receiver.url}/off", concurrency=1)
    events = [await hooks.send() for _ in range(3)]
    await eventually(lambda: receiver.of("/off"), "a request is under way, and the others are in line")
    await hooks.call("POST", f"/endpoints/{endpoint['id']}/disable")
    receiver.released.set()
    await eventually(lambda: receiver.taken["/off", receiver.of("/off")[0].id], "the one under way arrives")
    states = [(await hooks.ended(event["id"]))[0]["state"] for event in events]
    assert sorted(states) == ["delivered", "held", "held"]
    assert len(receiver.of("/off")) == 1


async def test_a_stored_url_that_is_refused_by_now_ends_the_delivery(
    hooks: Hooks, receiver: HookReceiver, hooks_settings: Settings
) -> None:
    endpoint = await hooks.add(f"{receiver.url}/x")
    with closing(sqlite3.connect(hooks_settings.data_dir / "celeriac.db")) as database, database:
        database.execute("UPDATE celeriac_webhooks_endpoint SET url = 'ftp://x' WHERE id = ?", (endpoint["id"],))
    (delivery,) = await hooks.ended((await hooks.send())["id"])
    assert (delivery["state"], delivery["attempts"]) == ("refused", 0)
    assert "must begin with https://" in delivery["error"]


async def _tried(hooks: Hooks, event: str) -> list[dict[str, Any]]:
    return [one for one in await hooks.deliveries(event=event) if one["attempts"]]


async def _is(hooks: Hooks, delivery_id: str, state: str) -> bool:
    return (await hooks.delivery(delivery_id))["state"] == state
