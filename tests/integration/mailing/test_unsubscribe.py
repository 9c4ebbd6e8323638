"""Unsubscribe links over HTTP: one click without a key, and a GET that changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from celeriac.families.email.inbound.model import Kind
from celeriac.families.email.suppression import Reason
from celeriac.families.email.tokens import Purpose
from tests.support.post_office import KEY, PostOffice, address_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


async def test_one_click_needs_no_key_no_session_and_no_token_of_a_form(office: PostOffice) -> None:
    mailing = await office.sent(2, list_name="news")
    response = await office.client.post(office.link(mailing, 1), data=ONE_CLICK)
    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    (one,) = await office.suppressions.of(address_of(mailing, 1))
    assert (one.list_name, one.reason, one.source) == ("news", Reason.UNSUBSCRIBE, f"link, mailing {mailing.id}")
    assert await office.suppressions.of(address_of(mailing, 2)) == []
    assert (await office.feedback.counts(mailing.id))[Kind.UNSUBSCRIBE] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_looking_at_the_page_unsubscribes_nobody(office: PostOffice, method: str) -> None:
    """Scanners of mails follow each link."""
    mailing = await office.sent(1)
    response = await office.client.request(method, office.link(mailing, 1))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert await office.suppressions.of(address_of(mailing, 1)) == []


async def test_the_page_has_a_button_that_works_without_scripts(office: PostOffice) -> None:
    mailing = await office.sent(1, list_name="news")
    page = (await office.client.get(office.link(mailing, 1))).text
    assert '<form method="post">' in page
    assert "<script" not in page and "http" not in page
    assert "of the list “news”" in page
    assert "example.com" not in page, "the address is not shown"
    response = await office.client.post(office.link(mailing, 1), data=ONE_CLICK)
    assert "You will get no more mail of the list “news”." in response.text


async def test_no_cache_keeps_the_page_and_no_frame_shows_it(office: PostOffice) -> None:
    mailing = await office.sent(1)
    for response in (
        await office.client.get(office.link(mailing, 1)),
        await office.client.post(office.link(mailing, 1)),
        await office.client.get("/email/unsubscribe/unknown"),
    ):
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "body", [{"data": ONE_CLICK}, {"content": b""}, {"files": {"List-Unsubscribe": (None, "One-Click")}}]
)
async def test_the_form_of_the_body_does_not_matter(office: PostOffice, body: dict[str, Any]) -> None:
    mailing = await office.sent(1)
    path, _, token = office.link(mailing, 1).rpartition("/")
    response = await office.client.post(f"{path}/{token.upper()}", **body)
    assert response.status_code == 200, response.text


async def test_a_mailing_of_no_list_ends_all_mail_and_many_clicks_count_once(office: PostOffice) -> None:
    mailing = await office.sent(1)
    clicks = [office.client.post(office.link(mailing, 1), data=ONE_CLICK) for _ in range(8)]
    assert {response.status_code for response in await asyncio.gather(*clicks)} == {200}
    assert (await office.feedback.counts(mailing.id))[Kind.UNSUBSCRIBE] == 1
    assert [one.list_name for one in await office.suppressions.of(address_of(mailing, 1))] == [""]


async def test_a_link_that_nobody_here_made_is_a_page_and_changes_nothing(office: PostOffice) -> None:
    mailing = await office.sent(1)
    tokens = office.stationery.tokens
    assert tokens is not None
    bounce = tokens.make(Purpose.BOUNCE, mailing.id, 1)
    gone = tokens.make(Purpose.UNSUBSCRIBE, mailing.id, 99)
    for token in ("a" * 48, bounce, gone, "<script>", "x" * 5000, "%00"):
        response = await office.client.post(f"/email/unsubscribe/{token}", data=ONE_CLICK)
        assert (response.status_code, "This link does not work" in response.text) == (404, True)
        assert "<script" not in response.text
    assert await office.suppressions.of(address_of(mailing, 1)) == []


async def test_the_links_of_a_test_mail_say_that_they_are(office: PostOffice) -> None:
    """Whoever looks at a test mail tries its links, in the text and in the header."""
    mail = {"subject": "x", "text": "{{ unsubscribe_url }}", "recipients": [{"email": "ada@example.com"}]}
    shown = (await office.client.post("/email/preview", json=mail, headers=KEY)).json()
    (header,) = (header["value"] for header in shown["headers"] if header["name"] == "List-Unsubscribe")
    url = str(shown["text"]).strip()
    assert header.startswith(f"<{url}>, <mailto:leave+{url.rpartition('/')[2]}@example.com")
    for method in ("GET", "POST"):
        response = await office.client.request(method, url[url.index("/email/") :])
        assert (response.status_code, "link of a test mail" in response.text) == (200, True)
        assert "<form" not in response.text


async def test_a_body_without_end_is_refused(office: PostOffice) -> None:
    mailing = await office.sent(1)
    response = await office.client.post(office.link(mailing, 1), content=b"x" * 2_000_000)
    assert response.status_code == 413


async def test_all_other_routes_need_a_key(office: PostOffice) -> None:
    assert (await office.client.get("/email/suppressions")).status_code == 401
    assert (await office.client.get("/email/suppressions", headers=KEY)).status_code == 200
    response = await office.client.put(f"/email/unsubscribe/{'a' * 48}")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
