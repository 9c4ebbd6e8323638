"""Bounces and complaints over HTTP: raw messages with a key, and providers with their own proof."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.families.email.inbound.api import MAX_MESSAGE_BYTES
from celeriac.families.email.model import Counts
from tests.support.post_office import KEY, SECRET, PostOffice, address_of, signed
from tests.support.returned import arf, dsn

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def post(office: PostOffice, raw: bytes, **query: str) -> dict[str, Any]:
    response = await office.client.post("/email/inbound", content=raw, params=query, headers=KEY)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_a_raw_bounce_changes_the_outcome_and_suppresses(office: PostOffice) -> None:
    mailing = await office.sent(2)
    raw = dsn(to=office.return_path(mailing, 1))
    assert await post(office, raw) == {"events": 1, "recorded": 1}
    assert await post(office, raw) == {"events": 1, "recorded": 0}
    assert await office.ledger.counts(mailing.id) == Counts(sent=1, failed=1)
    assert [one.reason for one in await office.suppressions.of(address_of(mailing, 1))] == ["hard_bounce"]


async def test_the_mail_server_may_say_to_which_address_it_came(office: PostOffice) -> None:
    mailing = await office.sent(1)
    assert (await post(office, dsn(), recipient=office.return_path(mailing, 1)))["recorded"] == 1


async def test_a_complaint_is_counted_and_shown(office: PostOffice) -> None:
    mailing = await office.sent(3)
    headers = office.stationery.unsubscribe_headers(mailing.id, 1).decode()
    assert await post(office, arf(headers=headers)) == {"events": 1, "recorded": 1}
    await post(office, dsn(to=office.return_path(mailing, 2), status="5.2.2", diagnostic="smtp; 552 5.2.2 full"))
    shown = await office.client.get(f"/email/mailings/{mailing.id}/feedback", headers=KEY)
    assert shown.json() == {
        "hard_bounces": 0,
        "soft_bounces": 1,
        "complaints": 1,
        "unsubscribed": 0,
        "suppressed": 0,
    }
    missing = await office.client.get("/email/mailings/none/feedback", headers=KEY)
    assert missing.status_code == 404


async def test_what_is_no_bounce_of_ours_changes_nothing(office: PostOffice) -> None:
    assert await post(office, b"Subject: hello\r\n\r\nNo bounce.\r\n") == {"events": 0, "recorded": 0}
    assert await post(office, dsn(to="bounces@example.com")) == {"events": 0, "recorded": 0}


async def test_a_bounce_that_returns_a_huge_mail_is_read(office: PostOffice) -> None:
    mailing = await office.sent(1)
    raw = dsn(to=office.return_path(mailing, 1)) + b"x" * 20_000_000
    assert await post(office, raw) == {"events": 1, "recorded": 1}


async def test_an_empty_body_is_refused(office: PostOffice) -> None:
    response = await office.client.post("/email/inbound", content=b"", headers=KEY)
    assert (response.status_code, "send the raw message as the body" in response.json()["detail"]) == (422, True)


async def test_a_form_is_refused_but_what_curl_calls_a_form_is_read(office: PostOffice) -> None:
    mailing = await office.sent(1)
    raw = dsn(to=office.return_path(mailing, 1))
    response = await office.client.post("/email/inbound", files={"mail": raw}, headers=KEY)
    assert (response.status_code, "curl --data-binary" in response.json()["detail"]) == (415, True)
    as_curl = {**KEY, "Content-Type": "application/x-www-form-urlencoded"}
    response = await office.client.post("/email/inbound", content=raw, headers=as_curl)
    assert response.json() == {"events": 1, "recorded": 1}


async def test_raw_messages_need_a_key_and_have_a_largest_size(office: PostOffice) -> None:
    assert (await office.client.post("/email/inbound", content=dsn())).status_code == 401
    response = await office.client.post("/email/inbound", content=bytes(MAX_MESSAGE_BYTES + 1), headers=KEY)
    assert response.status_code == 413


async def test_signed_events_need_no_key_and_count_once(office: PostOffice) -> None:
    mailing = await office.sent(1)
    event = {"id": mailing.id, "kind": "hard_bounce", "message_id": f"<1.{mailing.id}@example.com>"}
    body = json.dumps({"events": [event]}).encode()
    for recorded in (1, 0):
        response = await office.client.post("/email/inbound/events", content=body, headers=signed(body))
        assert response.json() == {"events": 1, "recorded": recorded}
    assert await office.ledger.counts(mailing.id) == Counts(failed=1)


async def test_a_forged_request_is_refused_and_changes_nothing(office: PostOffice) -> None:
    mailing = await office.sent(1)
    body = json.dumps({"events": [{"id": "1", "kind": "complaint", "email": address_of(mailing, 1)}]}).encode()
    response = await office.client.post("/email/inbound/events", content=body, headers=signed(body + b" "))
    assert (response.status_code, response.json()["type"]) == (401, "urn:celeriac:problem:not-genuine")
    assert SECRET not in response.text
    assert await office.suppressions.of(address_of(mailing, 1)) == []


async def test_what_is_genuine_and_not_understood_names_the_fault(office: PostOffice) -> None:
    body = b'{"events": [{"id": "1", "kind": "angry"}]}'
    response = await office.client.post("/email/inbound/events", content=body, headers=signed(body))
    assert response.status_code == 422
    assert "events.0.kind is none of hard_bounce" in response.json()["detail"]


async def test_a_provider_that_is_not_set_up_is_unknown(office: PostOffice) -> None:
    for name, said in (("sendgrid", "set CELERIAC_MAIL_SENDGRID_KEY"), ("nobody", "there are events, ses, sendgrid")):
        response = await office.client.post(f"/email/inbound/{name}", content=b"[]")
        assert (response.status_code, said in response.json()["detail"]) == (404, True)
