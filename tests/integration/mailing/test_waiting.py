"""A mailing whose server takes no more mails today: it waits outside of the workers, and goes on when there is room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from celeriac import Settings
from celeriac.families.email.demo.sink import MailSink
from tests.support.mailing_api import MailingApi, addresses
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_chunks_without_room_for_today_leave_the_worker_and_cost_no_attempt(
    mailings: MailingApi, sink: MailSink, settings: Settings, start_mail_worker: Callable[..., Worker]
) -> None:
    start_mail_worker(CELERIAC_SMTP_URL=f"{sink.url}?daily=150")
    mailing_id = await mailings.submit(350)

    async def away() -> dict[str, Any] | None:
        job = dict((await mailings.client.get(f"/jobs/{mailing_id}")).json())
        return job if job["state"] == "retrying" else None

    job = await eventually(away) or {}
    assert "a limit is used up; the mailing goes on when there is room" in str(job)
    shown = await mailings.show(mailing_id)
    assert (shown["state"], shown["sent"], shown["failed"], shown["open"]) == ("sending", 150, 0, 200)
    chunks = [one for one in await mailings.jobs() if one["id"] != mailing_id]
    assert {one["state"] for one in chunks} == {"succeeded"}  # none holds a place in the worker
    assert {one["attempt"] for one in chunks} == {1}

    forget_today(settings)
    for action in ("pause", "resume"):  # it would come back by itself, but not while a test waits
        answer = await mailings.client.post(f"/email/mailings/{mailing_id}/{action}")
        assert answer.status_code == 200, answer.text
    await sink.wait_for(300)
    job = await eventually(away) or {}
    assert job["attempt"] < 5
    forget_today(settings)
    for action in ("pause", "resume"):
        assert (await mailings.client.post(f"/email/mailings/{mailing_id}/{action}")).status_code == 200
    assert (await mailings.ended(mailing_id))["state"] == "succeeded"
    assert (await mailings.show(mailing_id))["state"] == "done"
    assert (set(sink.mails_per_recipient()), sink.duplicates) == (addresses(350), 0)


async def test_a_short_mailing_does_not_wait_for_the_rest_of_a_long_one(
    mailings: MailingApi, sink: MailSink, start_mail_worker: Callable[..., Worker]
) -> None:
    start_mail_worker()
    long = await mailings.submit(1_400)
    await sink.wait_for(1)
    sink.pause()
    short = await mailings.submit(20)
    sink.resume()
    for mailing_id in (short, long):
        assert (await mailings.ended(mailing_id))["state"] == "succeeded"
    of_the_short = [place for place, mail in enumerate(sink.deliveries) if short in mail.message_id]
    assert len(of_the_short) == 20
    assert of_the_short[-1] < 1_300, "only the first thousand of the long one were before, and what ran beside it"
    assert list(sink.mails_per_message_id().values()) == [1] * 1_420


def forget_today(settings: Settings) -> None:
    """Have the limits know of no mail, as on another day."""
    with redis.Redis.from_url(settings.broker_url.get_secret_value()) as client:
        keys = list(client.scan_iter("*limit*"))
        assert keys
        client.delete(*keys)
