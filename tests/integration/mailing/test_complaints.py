"""Complaints about a mailing that is being sent, from a provider over HTTP to a real worker."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from tests.support.mailing_api import MailingApi, addresses
from tests.support.post_office import SECRET, signed
from tests.support.workers import Worker

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


@pytest.fixture
def email_settings(sink: MailSink) -> EmailSettings:
    return EmailSettings(
        smtp_url=SecretStr(sink.url),
        mail_from="a@example.com",
        mail_webhook_secrets=(SecretStr(SECRET),),
        mail_complaint_rate=0.01,
        mail_complaint_floor=3,
    )


async def complain(mailings: MailingApi, message_id: str) -> None:
    body = json.dumps({"events": [{"id": message_id, "kind": "complaint", "message_id": message_id}]}).encode()
    response = await mailings.client.post("/email/inbound/events", content=body, headers=signed(body))
    assert response.json() == {"events": 1, "recorded": 1}, response.text


async def test_complaints_stop_a_mailing_which_goes_on_when_somebody_resumes_it(
    mailings: MailingApi, sink: MailSink, start_mail_worker: Callable[[], Worker]
) -> None:
    start_mail_worker()
    mailing_id = await mailings.submit(600)
    await sink.wait_for(50)
    for delivery in list(sink.deliveries)[:3]:
        await complain(mailings, delivery.message_id)
    connections, delivered = sink.connections, len(sink.deliveries)

    job = await mailings.ended(mailing_id)
    assert len(sink.deliveries) <= delivered + 2 * connections  # only what was on its way, or claimed before
    shown = await mailings.show(mailing_id)
    assert (shown["state"], shown["open"] > 0) == ("stopped", True)
    assert shown["stopped"].startswith("3 of ") and "recipients complained" in shown["stopped"]
    assert job["state"] == "failed" and shown["stopped"] in job["error"]["message"]

    stopped_at = len(sink.deliveries)
    assert (await mailings.client.post(f"/jobs/{mailing_id}/retry")).status_code == 202  # that is nobody's decision
    assert (await mailings.ended(mailing_id))["state"] == "failed"
    assert len(sink.deliveries) == stopped_at

    assert (await mailings.client.post(f"/email/mailings/{mailing_id}/resume")).status_code == 200
    await complain(mailings, list(sink.deliveries)[5].message_id)  # a mail of before the stop
    assert (await mailings.ended(mailing_id))["state"] == "succeeded"
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(600), 1)
    feedback = await mailings.client.get(f"/email/mailings/{mailing_id}/feedback")
    assert feedback.json()["complaints"] == 4
