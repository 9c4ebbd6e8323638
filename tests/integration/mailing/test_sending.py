"""Mailings from the HTTP request to the mail server, through real workers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from celeriac.families.email.demo.sink import ANYONE, MailSink
from tests.support.mailing_api import TEXTS, MailingApi, addresses, table
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

StartWorker = Callable[[], Worker]


async def test_every_recipient_gets_the_mail_once(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    start_mail_worker()
    job_id = await mailings.submit(250)
    events = await mailings.events(job_id)
    assert events[-1] == {"state": "succeeded"}
    assert [event for event in events if "done" in event][-1] == {
        "done": 250,
        "total": 250,
        "message": "250 sent, 0 failed",
    }
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(250), 1)
    shown = await mailings.show(job_id)
    assert shown == shown | {
        "id": job_id,
        "state": "done",
        "sender": "a@example.com",
        "subject": "Order {{ order }}",
        "recipients": 250,
        "sent": 250,
        "failed": 0,
        "open": 0,
        "stopped": None,
    }
    result = (await mailings.client.get(f"/jobs/{job_id}/result")).json()["result"]
    assert result == {"recipients": 250, "sent": 250, "failed": 0}
    outcomes = await mailings.outcomes(job_id)
    assert {row["status"] for row in outcomes.values()} == {"sent"}
    assert outcomes["user1@example.com"]["row"] == "2"


async def test_a_mailing_may_come_as_json(mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker) -> None:
    start_mail_worker()
    recipients = [{"email": f"{name}@example.org", "name": name.upper()} for name in ("a", "b", "A")]
    body = {"subject": "To {{ name }}", "html": "<b>{{ name }}</b>", "recipients": recipients, "duplicates": "first"}
    response = await mailings.client.post("/email/mailings", json=body)
    assert response.status_code == 202, response.text
    assert (await mailings.ended(response.json()["id"]))["state"] == "succeeded"
    assert sink.mails_per_recipient() == {"a@example.org": 1, "b@example.org": 1}
    shown = await mailings.show(response.json()["id"])
    assert (shown["recipients"], shown["left_out"]) == (2, 1)


async def test_refusals_are_told_apart(mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker) -> None:
    start_mail_worker()
    sink.answer("user1@example.com", 550, "no such user")
    sink.answer("user2@example.com", 451, "greylisted", times=1)
    job_id = await mailings.submit(5)
    assert (await mailings.ended(job_id))["state"] == "succeeded"
    outcomes = await mailings.outcomes(job_id)
    refused = outcomes["user1@example.com"]
    assert (refused["status"], refused["code"], refused["error"]) == ("failed", "550", "no such user")
    late = outcomes["user2@example.com"]
    assert (late["status"], late["attempts"]) == ("sent", "2")
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(5) - {"user1@example.com"}, 1)


async def test_a_refused_sender_stops_the_mailing_which_goes_on_when_its_job_is_retried(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    start_mail_worker()
    sink.answer(ANYONE, 550, "5.1.8 sender's domain is unknown", at="MAIL")
    job_id = await mailings.submit(1000)
    job = await mailings.ended(job_id)
    assert job["state"] == "failed"
    assert "1000 of 1000 recipients are still open" in job["error"]["message"]
    assert "550 5.1.8 sender's domain is unknown to MAIL FROM:<a@example.com>" in job["error"]["message"]
    assert {row["status"] for row in (await mailings.outcomes(job_id)).values()} == {"pending"}
    shown = await mailings.show(job_id)
    assert (shown["open"], shown["failed"]) == (1000, 0)
    assert shown["stopped"] in job["error"]["message"]
    assert sink.connections < 10, "most chunks did not ask"

    sink.answer(ANYONE, 250, "OK", at="MAIL", times=0)
    assert (await mailings.client.post(f"/jobs/{job_id}/retry")).status_code == 202
    assert (await mailings.ended(job_id))["state"] == "succeeded"
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(1000), 1)
    assert (await mailings.show(job_id))["stopped"] is None


async def test_a_mailing_stops_at_its_own_rates_and_goes_on_when_it_is_resumed(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    for wrong in ("many", '{"hard": 101}', '{"sudden": 5}', "[]", "null and void"):
        response = await mailings.post(table(8), {**TEXTS, "stop_at": wrong})
        assert (response.status_code, "body.stop_at" in response.json()["detail"]) == (422, True), response.text
    start_mail_worker()
    for number in range(1, 6):
        sink.answer(f"user{number}@example.com", 550, "5.1.1 no such user")
    response = await mailings.post(table(8), {**TEXTS, "stop_at": '{"hard": 40, "floor": 5}'})
    assert (await mailings.ended(response.json()["id"]))["state"] == "failed"
    shown = await mailings.show(response.json()["id"])
    assert (shown["state"], shown["failed"], shown["open"]) == ("stopped", 5, 3)
    assert shown["stopped"] == "too many hard failures: 5 of 5 recipients (100.0 %; the limit is 40 %)"
    sink.answer("user6@example.com", 550, "5.1.1 no such user")
    assert (await mailings.client.post(f"/email/mailings/{shown['id']}/resume")).status_code == 200
    assert (await mailings.ended(shown["id"]))["state"] == "succeeded"
    assert (await mailings.show(shown["id"]))["sent"] == 2


async def test_kill_9_in_the_middle_sends_to_no_one_twice_who_is_recorded_as_sent(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    worker = start_mail_worker()
    job_id = await mailings.submit(400)
    await sink.wait_for(100)
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.to_thread(worker.process.wait)
    recorded = {email for email, row in (await mailings.outcomes(job_id)).items() if row["status"] == "sent"}
    before = sink.mails_per_recipient()
    assert 0 < len(recorded) < 400, "the worker was not killed in the middle"

    start_mail_worker()
    assert (await mailings.ended(job_id))["state"] == "succeeded"
    after = sink.mails_per_recipient()
    assert after.keys() == addresses(400)
    assert {email: after[email] for email in recorded} == {email: before[email] for email in recorded}
    in_the_window = {email for email, count in after.items() if count > 1}
    assert len(in_the_window) <= 2, "more than one for each of the two connections"
    assert in_the_window.isdisjoint(recorded)


async def test_a_cancelled_mailing_stops(mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker) -> None:
    start_mail_worker()
    job_id = await mailings.submit(2000)
    await sink.wait_for(20)
    response = await mailings.client.post(f"/jobs/{job_id}/cancel")
    assert response.status_code in (200, 202), response.text
    assert (await mailings.ended(job_id))["state"] == "cancelled"
    async with asyncio.timeout(20):
        while any(job["state"] in ("queued", "running") for job in await mailings.jobs()):
            await asyncio.sleep(0.05)
    delivered = len(sink.deliveries)
    assert delivered < 2000
    assert (await mailings.show(job_id))["sent"] == delivered


async def test_a_mail_server_that_is_away_delays_the_mailing(
    mailings: MailingApi, sink: MailSink, start_mail_worker: StartWorker
) -> None:
    start_mail_worker()
    sink.disconnect(ANYONE, at="MAIL", times=3)
    job_id = await mailings.submit(3)
    assert (await mailings.ended(job_id))["state"] == "succeeded"
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(3), 1)
