"""Bulk mail in an application of a user's: its worker sends, and its API has the routes where the user put them."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from celeriac import Settings
from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from tests.support import shop_with_mail
from tests.support.api_server import NO_TLS, serving
from tests.support.jobs_client import JobsClient
from tests.support.mailing_api import TEXTS, addresses, table
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_users_own_application_sends_mailings(
    settings: Settings, email_settings: EmailSettings, sink: MailSink, start_mail_worker: Callable[[str], Worker]
) -> None:
    start_mail_worker("tests.support.shop_with_mail:app")
    app, api = shop_with_mail.create(settings, email_settings)
    with serving(api) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            files = {"recipients": ("recipients.csv", table(3), "text/csv")}
            answer = await client.post("/internal/letters/mailings", data=TEXTS, files=files)
            job_id = answer.json()["id"]
            assert answer.headers["Location"] == f"/internal/jobs/{job_id}"
            assert (await JobsClient(client, "/internal/jobs").finished(job_id))["state"] == "succeeded"
            counts = (await client.get(f"/internal/letters/mailings/{job_id}")).json()
    assert sink.mails_per_recipient() == dict.fromkeys(addresses(3), 1)
    assert (counts["sent"], counts["open"]) == (3, 0)
    app.close()
