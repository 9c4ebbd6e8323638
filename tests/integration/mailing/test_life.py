"""Mailings that are drafted, planned, paused, resumed and cancelled over HTTP, with real workers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import redis

from celeriac import Settings
from celeriac.families.email.demo.sink import MailSink
from tests.support.mailing_api import TEXTS, MailingApi, addresses, table
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

StartWorker = Callable[[], Worker]


async def steer(mailings: MailingApi, mailing_id: str, action: str) -> httpx2.Response:
    return await mailings.client.post(f"/email/mailings/{mailing_id}/{action}")


async def steered(mailings: MailingApi, mailing_id: str, action: str) -> dict[str, Any]:
    response = await steer(mailings, mailing_id, action)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def drafted(mailings: MailingApi, count: int = 3, key: str | None = None, **texts: str) -> str:
    response = await mailings.post(table(count), {**TEXTS, "draft": "true", **texts}, key)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def state_of(mailings: MailingApi, mailing_id: str, wanted: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        shown = await mailings.show(mailing_id)
        return shown if shown["state"] == wanted else None

    return await eventually(look) or {}


async def no_job_runs(mailings: MailingApi) -> None:
    async def look() -> bool:
        return not any(job["state"] in ("queued", "running", "retrying") for job in await mailings.jobs())

    await eventually(look)


async def test_a_pause_lasts_through_a_restart_and_a_resume_repeats_nobody(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    worker = start_mail_worker()
    mailing_id = await mailings.submit(600)
    await sink.wait_for(50)
    shown = await steered(mailings, mailing_id, "pause")
    connections, delivered = sink.connections, len(sink.deliveries)
    assert (shown["state"], shown["open"] > 0) == ("paused", True)
    await no_job_runs(mailings)
    assert len(sink.deliveries) <= delivered + 2 * connections  # only what was on its way, or claimed before
    paused_at = len(sink.deliveries)
    assert (await mailings.show(mailing_id))["sent"] == paused_at

    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.to_thread(worker.process.wait)
    start_mail_worker()
    assert (await mailings.client.post(f"/jobs/{mailing_id}/retry")).status_code == 202  # its job is not the truth
    job = await mailings.ended(mailing_id)
    assert (job["state"], "the mailing is paused" in job["error"]["message"]) == ("failed", True)
    assert len(sink.deliveries) == paused_at

    assert (await steered(mailings, mailing_id, "resume"))["state"] == "sending"
    assert (await steer(mailings, mailing_id, "resume")).status_code == 409
    assert (await mailings.ended(mailing_id))["state"] == "succeeded"
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(600), 1)
    assert (await mailings.show(mailing_id))["state"] == "done"
    for action in ("pause", "resume", "cancel", "send"):
        response = await steer(mailings, mailing_id, action)
        assert response.status_code == 409 and "the mailing is done" in response.json()["detail"]


async def test_a_quick_pause_and_resume_loses_nobody(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    start_mail_worker()
    sink.answer("user7@example.com", 451, "greylisted", times=1)  # its chunk waits for seconds
    mailing_id = await mailings.submit(300)
    for delivered in (30, 90, 150):
        await sink.wait_for(delivered)
        await steered(mailings, mailing_id, "pause")
        await steered(mailings, mailing_id, "resume")
    await state_of(mailings, mailing_id, "done")
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(300), 1)


async def test_what_is_left_after_a_cancelled_job_or_a_lost_broker_is_sent_when_the_mailing_is_resumed(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker, settings: Settings
) -> None:
    worker = start_mail_worker()
    mailing_id = await mailings.submit(400)
    await sink.wait_for(20)
    assert (await mailings.client.post(f"/jobs/{mailing_id}/cancel")).status_code in (200, 202)
    await state_of(mailings, mailing_id, "stopped")
    await no_job_runs(mailings)
    await steered(mailings, mailing_id, "resume")
    await sink.wait_for(200)
    os.kill(worker.pid, signal.SIGSTOP)
    with redis.Redis.from_url(settings.broker_url.get_secret_value()) as broker:  # type: ignore[union-attr]
        broker.flushdb()
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.to_thread(worker.process.wait)
    shown = await mailings.show(mailing_id)
    assert (shown["state"], shown["stopped"]) == (
        "stopped",
        "its job is unknown to the broker; resume the mailing to go on",
    )
    start_mail_worker()
    await steered(mailings, mailing_id, "resume")
    await state_of(mailings, mailing_id, "done")
    mails = sink.mails_per_recipient()
    assert mails.keys() == addresses(400)
    assert sink.duplicates <= 2  # what the killed worker had in hand


async def test_a_draft_is_sent_when_it_is_started_and_a_cancelled_mailing_never(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    draft = await drafted(mailings, key="monday")
    assert await drafted(mailings, key="monday") == draft  # stored once
    other = await mailings.post(table(2), {**TEXTS, "draft": "true"}, "monday")
    assert (other.status_code, other.json()["type"]) == (409, "urn:celeriac:problem:idempotency-conflict")
    assert (await mailings.show(draft))["recipients"] == 3
    cancelled = await drafted(mailings)
    assert (await steered(mailings, cancelled, "cancel"))["state"] == "cancelled"
    stopped = await mailings.submit(3)
    assert (await steered(mailings, stopped, "cancel"))["state"] == "cancelled"
    listed = (await mailings.client.get("/email/mailings?limit=2")).json()
    assert [mailing["id"] for mailing in listed["mailings"]] == [stopped, cancelled]
    rest = (await mailings.client.get("/email/mailings", params={"cursor": listed["next"]})).json()
    assert ([mailing["id"] for mailing in rest["mailings"]], rest["next"]) == ([draft], None)
    for wrong in ("x", "1", "_a", "9" * 30 + "_a"):
        assert (await mailings.client.get("/email/mailings", params={"cursor": wrong})).status_code == 422

    start_mail_worker()
    assert (await steered(mailings, draft, "send"))["state"] == "sending"
    assert (await mailings.ended(draft))["state"] == "succeeded"
    assert (await steer(mailings, draft, "send")).status_code == 409
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(3), 1)
    assert (await mailings.client.post(f"/jobs/{stopped}/retry")).status_code == 202
    assert "the mailing is cancelled" in (await mailings.ended(stopped))["error"]["message"]
    assert (await steer(mailings, stopped, "resume")).status_code == 409
    assert len(sink.deliveries) == 3


async def test_a_planned_mailing_starts_at_its_time(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    start_mail_worker()
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    planned = (await mailings.post(table(3), {**TEXTS, "send_at": later})).json()["id"]
    assert (await mailings.show(planned))["state"] == "scheduled"
    assert (await steered(mailings, planned, "pause"))["state"] == "paused"
    assert (await steered(mailings, planned, "resume"))["state"] == "scheduled"
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    started = (await mailings.post(table(2), {**TEXTS, "send_at": soon})).json()["id"]
    assert (await mailings.ended(started))["state"] == "succeeded"
    assert (await mailings.show(started))["state"] == "done"
    assert len(sink.deliveries) == 2
    assert (await mailings.show(planned))["state"] == "scheduled"
    record = (await mailings.client.get(f"/jobs/{planned}")).json()
    assert record["state"] in ("scheduled", "retrying") or record["delay_until"] is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"not_after": "2020-01-01T00:00:00Z"}, "not_after must be later than now"),
        ({"send_at": "2020-01-01T00:00:00"}, "timezone"),
        ({"send_at": "2020-01-01T00:00:00Z"}, "send_at is more than an hour in the past"),
        ({"send_at": "2999-01-01T00:00:00Z"}, "send_at must be within 366 days"),
        ({"draft": "perhaps"}, "boolean"),
        ({"list_unsubscribe": "foo"}, "must be a list of <https://"),
        ({"list_unsubscribe": "<https://shop.example/u> <mailto:u@shop.example>"}, "separated by commas"),
        ({"list_unsubscribe": "<ftp://shop.example/u>"}, "must be a list of <https://"),
    ],
)
async def test_a_wrong_field_is_refused(mailings: MailingApi, fields: dict[str, str], said: str) -> None:
    response = await mailings.post(table(1), {**TEXTS, **fields})
    assert response.status_code == 422
    assert said in response.text
