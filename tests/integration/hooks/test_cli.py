"""`celeriac webhooks`, as somebody types it, with a real worker."""

from __future__ import annotations

import sys

import pytest

from celeriac.cli import ExitCode
from tests.support.hook_receiver import HookReceiver
from tests.support.terminal import Terminal
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def terminal(
    environment: dict[str, str],
    shared_worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "celeriac.worker", raising=False)  # it reads them when imported
    return Terminal("webhooks", "celeriac.worker:c_app", monkeypatch, capsys)


async def test_an_endpoint_and_its_deliveries_from_a_terminal(terminal: Terminal, receiver: HookReceiver) -> None:
    receiver.plan["/cli"] = [(500, {"webhook-delivery": "abort-message"}), 200]
    endpoint = await terminal.json("add", f"{receiver.url}/cli", "--type", "order.*", "--owner", "cli")
    assert endpoint["secret"].startswith("whsec_")
    (listed,) = await terminal.json("endpoints", "--owner", "cli")
    assert listed["id"] == endpoint["id"] and "secret" not in listed
    event = await terminal.json("send", "order.paid", '{"order": 7}', "--owner", "cli")

    async def ended() -> bool:
        found = await terminal.json("deliveries", "--event", event["id"])
        return [one["state"] for one in found] == ["aborted"]

    await eventually(ended, "the receiver does not want it")
    (delivery,) = await terminal.json("deliveries", "--event", event["id"])
    shown = await terminal.json("show", delivery["id"])
    assert [one["status"] for one in shown["log"]] == [500]
    code, table, _ = await terminal.run("show", delivery["id"])
    assert code == 0 and "abort" in table
    counted = await terminal.json("replay", "--endpoint", endpoint["id"], "--dry-run")
    assert counted == {"count": 1, "job": None}
    assert (await terminal.json("replay", delivery["id"]))["state"] == "pending"
    await eventually(lambda: receiver.taken["/cli", event["id"]], "it arrives")
    assert (await terminal.json("disable", endpoint["id"]))["enabled"] is False
    assert (await terminal.json("enable", endpoint["id"]))["enabled"] is True
    code, _, said = await terminal.run("cancel", delivery["id"])
    assert code != 0 and "cannot be cancelled" in said
    code, _, said = await terminal.run("replay")
    assert code == ExitCode.USAGE and "give DELIVERY_ID, --endpoint, --event or --since" in said
    code, _, said = await terminal.run("add", "ftp://example.com/")
    assert code == ExitCode.FAILURE and "must begin with https:// or http://" in said
    code, _, said = await terminal.run("show", "no-such-delivery")
    assert code != 0 and "no delivery with id" in said
