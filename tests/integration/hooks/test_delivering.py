"""Events from the HTTP request to the receiver, through a real worker."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from celeriac import Settings
from tests.support.hook_receiver import HookReceiver
from tests.support.hooks import Hooks
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_event_goes_signed_to_each_endpoint_that_wants_it(hooks: Hooks, receiver: HookReceiver) -> None:
    one = await hooks.add(f"{receiver.url}/one", event_types=["order.*"], headers={"Authorization": "Bearer 12345678"})
    await hooks.add(f"{receiver.url}/two", event_types=["*"])
    await hooks.add(f"{receiver.url}/three", event_types=["invoice.paid"])
    await hooks.add(f"{receiver.url}/four", owner="somebody else")
    event = await hooks.send("order.paid", {"order": 7})
    assert len(await hooks.ended(event["id"])) == 2
    (hook,) = receiver.of("/one")
    assert hook.id == event["id"] and hook.is_signed([one["secret"]])
    assert json.loads(hook.body)["data"] == {"order": 7} and json.loads(hook.body)["type"] == "order.paid"
    assert hook.headers["authorization"] == "Bearer 12345678"
    assert len(receiver.of("/two")) == 1 and receiver.of("/three") == receiver.of("/four") == []
    shown = await hooks.call("GET", f"/endpoints/{one['id']}")
    assert "secret" not in shown and shown["headers"] == {"authorization": "***"}


async def test_what_fails_is_tried_again_with_the_same_id_and_each_try_is_in_the_log(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    receiver.plan["/flaky"] = ["reset", (503, {"Retry-After": "0"}, "not now"), 200]
    await hooks.add(f"{receiver.url}/flaky")
    event = await hooks.send()
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 3, 200)
    assert [(one["status"], one["excerpt"]) for one in delivery["log"]] == [(None, None), (503, "not now"), (200, "ok")]
    assert delivery["log"][0]["error"] and receiver.by_message["/flaky", event["id"]] == 3


async def test_a_delivery_out_of_tries_is_exhausted_and_a_retry_of_its_failed_job_starts_over(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    receiver.plan["/down"] = [500, 500, 500, 500, 200]
    await hooks.add(f"{receiver.url}/down")
    await hooks.add(f"{receiver.url}/notices", event_types=["webhooks.delivery.exhausted"])
    event = await hooks.send()
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("exhausted", 4, "status 500")
    path = f"/jobs/{delivery['job']}"
    job = await eventually(lambda: _job_that(hooks, path, "failed"), "the job has failed")
    assert job["error"]["type"] == "DeliveryFailed"
    (told,) = await eventually(lambda: receiver.of("/notices"), "the owner is told")
    assert json.loads(told.body)["data"]["event"] == event["id"]
    assert (await hooks.client.post(f"{path}/retry")).status_code == 202
    await eventually(lambda: receiver.taken["/down", event["id"]], "the retry arrives")
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"], len(delivery["log"])) == ("delivered", 5, 5)


async def test_a_retried_job_sends_nothing_to_an_endpoint_that_is_disabled(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    receiver.plan["/off"] = [(500, {"webhook-delivery": "abort-message"}), 200]
    endpoint = await hooks.add(f"{receiver.url}/off")
    event = await hooks.send()
    (delivery,) = await hooks.ended(event["id"])
    await eventually(lambda: _job_that(hooks, f"/jobs/{delivery['job']}", "failed"), "the job has failed")
    await hooks.call("POST", f"/endpoints/{endpoint['id']}/disable")
    assert (await hooks.client.post(f"/jobs/{delivery['job']}/retry")).status_code == 202
    await eventually(lambda: _job_that(hooks, f"/jobs/{delivery['job']}", "succeeded"), "the job has ended")
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("held", 1, "its endpoint is disabled")
    assert receiver.by_message["/off", event["id"]] == 1


async def _job_that(hooks: Hooks, path: str, state: str) -> dict[str, Any] | None:
    job = (await hooks.client.get(path)).json()
    return job if job["state"] == state else None


@pytest.mark.parametrize(
    ("behaviour", "state", "enabled"),
    [
        (410, "held", False),
        ((500, {"webhook-delivery": "disable"}), "held", False),
        ((500, {"webhook-delivery": "abort-message"}), "aborted", True),
    ],
)
async def test_the_receiver_can_end_it(
    hooks: Hooks, receiver: HookReceiver, behaviour: object, state: str, enabled: bool
) -> None:
    receiver.plan["/ends"] = [behaviour]
    endpoint = await hooks.add(f"{receiver.url}/ends", event_types=["order.*"])
    await hooks.add(f"{receiver.url}/notices", event_types=["webhooks.endpoint.disabled"])
    event = await hooks.send()
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"]) == (state, 1)
    assert (await hooks.call("GET", f"/endpoints/{endpoint['id']}"))["enabled"] is enabled
    if enabled:
        return
    (told,) = await eventually(lambda: receiver.of("/notices"), "the owner is told")
    assert json.loads(told.body)["data"]["endpoint"] == endpoint["id"]
    later = await hooks.send()
    (delivery,) = await hooks.ended(later["id"])
    assert (delivery["state"], delivery["attempts"]) == ("held", 0)
    await hooks.call("POST", f"/deliveries/{delivery['id']}/replay", ok=409)
    receiver.plan["/ends"] = [200]
    await hooks.call("POST", f"/endpoints/{endpoint['id']}/enable")
    asked = {"endpoint": endpoint["id"], "dry_run": True}
    assert await hooks.call("POST", "/replays", json=asked) == {"count": 2, "job": None}
    assert (await hooks.call("POST", "/replays", ok=202, json={"endpoint": endpoint["id"]}))["count"] == 2
    for one in (event, later):
        await eventually(lambda one=one: receiver.taken["/ends", one["id"]], "what was held arrives")  # type: ignore[misc]


async def test_an_address_inside_is_refused_and_named_by_nobody(hooks: Hooks) -> None:
    refused = await hooks.add("http://192.168.0.1/x", ok=422)
    assert refused["type"].endswith("target-refused") and "192.168" not in refused["detail"]


async def test_one_endpoint_gets_events_in_order_and_a_failing_head_blocks_only_itself(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    await hooks.add(f"{receiver.url}/ordered", fifo=True)
    receiver.plan["/stuck"] = [500]
    await hooks.add(f"{receiver.url}/stuck", fifo=True)
    ids = [(await hooks.send(payload={"n": n}))["id"] for n in range(12)]
    await eventually(lambda: len(receiver.of("/ordered")) == 12, "all of them arrive")
    assert [hook.id for hook in receiver.of("/ordered")] == ids
    await eventually(lambda: len(receiver.of("/stuck")) >= 5, "the second one is tried when the first is given up")
    assert [hook.id for hook in receiver.of("/stuck")][:5] == [*[ids[0]] * 4, ids[1]]


async def test_the_same_event_again_is_sent_once_and_another_one_with_its_id_is_refused(
    hooks: Hooks, receiver: HookReceiver
) -> None:
    await hooks.add(f"{receiver.url}/once")
    same = {"payload": {"n": 1}, "id": "order-1-paid"}
    first, *others = await asyncio.gather(*(hooks.send("order.paid", **same) for _ in range(5)))
    assert all({**one, "deliveries": 0} == {**first, "deliveries": 0} for one in others)
    await hooks.ended("order-1-paid")
    body = {"type": "order.paid", "payload": {"n": 2}, "owner": hooks.owner, "id": "order-1-paid"}
    conflict = await hooks.call("POST", "/events", ok=409, json=body)
    assert conflict["type"].endswith("idempotency-conflict") and "use a new id" in conflict["detail"]
    assert receiver.by_message["/once", "order-1-paid"] == 1


async def test_a_delivery_can_be_cancelled_replayed_and_tested(hooks: Hooks, receiver: HookReceiver) -> None:
    receiver.plan["/later"] = [(500, {"Retry-After": "3600"}), 200]
    endpoint = await hooks.add(f"{receiver.url}/later", event_types=["order.paid"])
    event = await hooks.send()
    (delivery,) = await eventually(lambda: _tried(hooks, event["id"]), "the try is written down")
    await hooks.call("POST", f"/deliveries/{delivery['id']}/replay", ok=409)
    assert (await hooks.call("POST", f"/deliveries/{delivery['id']}/cancel"))["state"] == "aborted"
    await hooks.call("POST", f"/deliveries/{delivery['id']}/cancel", ok=409)
    # A try may be written down before its job has ended: then the worker that takes the job next ends it.
    await eventually(lambda: _is_cancelled(hooks, delivery["job"]), "its job is cancelled")
    await hooks.call("POST", f"/deliveries/{delivery['id']}/replay", ok=202)
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)
    receiver.plan["/later"] = [200]
    test = await hooks.call("POST", f"/endpoints/{endpoint['id']}/test", ok=202)
    assert test["type"] == "webhooks.test"
    (tested,) = await hooks.ended(test["event"])
    assert (tested["endpoint"], tested["state"]) == (endpoint["id"], "delivered")


async def _is_cancelled(hooks: Hooks, job: str) -> bool:
    return bool((await hooks.client.get(f"/jobs/{job}")).json()["state"] == "cancelled")


async def _tried(hooks: Hooks, event: str) -> list[dict[str, Any]]:
    return [one for one in await hooks.deliveries(event=event) if one["attempts"]]


async def test_a_new_secret_signs_beside_the_former_one(hooks: Hooks, receiver: HookReceiver) -> None:
    endpoint = await hooks.add(f"{receiver.url}/rotated")
    renewed = await hooks.call("POST", f"/endpoints/{endpoint['id']}/rotate-secret", json={"overlap": 3600})
    assert renewed["secret"] != endpoint["secret"] and renewed["secrets"] == 2
    await hooks.ended((await hooks.send())["id"])
    (hook,) = receiver.of("/rotated")
    assert hook.is_signed([endpoint["secret"]]) and hook.is_signed([renewed["secret"]])
    last = await hooks.call("POST", f"/endpoints/{endpoint['id']}/rotate-secret", json={"overlap": 0})
    await hooks.ended((await hooks.send())["id"])
    assert last["secrets"] == 1 and not receiver.of("/rotated")[1].is_signed([renewed["secret"]])


async def test_a_log_that_cannot_be_written_never_sends_twice(
    hooks: Hooks, receiver: HookReceiver, hooks_settings: Settings
) -> None:
    receiver.plan["/locked"] = ["late"]
    await hooks.add(f"{receiver.url}/locked")
    event = await hooks.send()
    await eventually(lambda: receiver.of("/locked"), "it is on its way")
    with closing(sqlite3.connect(hooks_settings.data_dir / "celeriac.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")  # nobody else can write now
        receiver.released.set()
        await eventually(lambda: receiver.taken["/locked", event["id"]], "it has arrived")
        database.execute("ROLLBACK")
    (delivery,) = await hooks.ended(event["id"])
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)
    assert receiver.by_message["/locked", event["id"]] == 1


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/endpoints", {"url": "ftp://example.com/x"}, "must begin with https:// or http://"),
        (
            "/endpoints",
            {"url": "https://example.com/", "event_types": ["a..b"]},
            "expected a type such as invoice.paid",
        ),
        ("/endpoints", {"url": "https://example.com/", "headers": {"Host": "x"}}, "host is set by the sender"),
        ("/endpoints", {"url": "https://example.com/", "headers": {"X-A": "b\r\nX-C: d"}}, "use printable ASCII"),
        ("/endpoints", {"url": "https://example.com/", "secret": "hello"}, "whsec_"),
        ("/endpoints", {"url": "https://example.com/", "colour": "red"}, "Extra inputs are not permitted"),
        ("/events", {"type": "webhooks.test", "payload": 1}, "choose another"),
        ("/events", {"type": "order paid", "payload": 1}, "words of letters, digits"),
        ("/events", {"type": "order.paid", "payload": "x" * 300_000}, "CELERIAC_WEBHOOK_MAX_EVENT_BYTES"),
        ("/events", {"type": "order.paid", "payload": 1, "id": "a.b"}, "use 1 to 128 letters, digits, _ or -"),
        ("/endpoints", {"url": "https://example.com/", "description": "a\0b"}, "U+0000 is not possible"),
        ("/replays", {"endpoint": "a\0b"}, "should match pattern"),
        ("/replays", {}, "give endpoint, event or since"),
        ("/replays", {"since": "2026-11-28T12:00:00"}, "since needs a time zone"),
    ],
)
async def test_what_is_wrong_is_refused_and_told(hooks: Hooks, path: str, body: dict[str, Any], told: str) -> None:
    refused = await hooks.call("POST", path, ok=422, json=body)
    assert told in refused["detail"]


@pytest.mark.parametrize(
    "path",
    ["/endpoints/a%00b", "/endpoints?owner=%00", "/endpoints?cursor=%00", "/events/%00", "/deliveries?event=%00"],
)
async def test_what_no_id_can_be_is_no_question_for_the_database(hooks: Hooks, path: str) -> None:
    await hooks.call("GET", path, ok=422)


@pytest.mark.parametrize("path", ["/endpoints/x", "/events/x", "/deliveries/x"])
async def test_what_does_not_exist_is_404(hooks: Hooks, path: str) -> None:
    assert (await hooks.call("GET", path, ok=404))["type"].startswith("urn:celeriac:problem:unknown-")
