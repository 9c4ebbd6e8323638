"""What is not accepted, and says so: nothing is stored, nothing enqueued, nothing sent."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from tests.support.api_server import NO_TLS, serving
from tests.support.clock import fair_clock
from tests.support.mailing_api import TEXTS, MailingApi, table
from tests.support.slow import quick_first

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = "email,name,order\na@example.com,A,1\n"

FAULTS: dict[str, tuple[str | bytes | None, dict[str, str], str]] = {
    "no file": (None, TEXTS, "recipients"),
    "an empty file": ("", TEXTS, "row 1"),
    "no recipients": ("email,name,order\n", TEXTS, "no recipients"),
    "no email column": ("mail,name,order\na@example.com,A,1\n", TEXTS, "row 1: no column is called email"),
    "a bad address": (GOOD + "nobody,B,2\n", TEXTS, "row 3, column email"),
    "an address twice": (GOOD + "A@Example.com,B,2\n", TEXTS, "row 3, column email"),
    "a short row": (GOOD + "b@example.com,B\n", TEXTS, "row 3: has 2 columns, and the header has 3"),
    "an open quote": (GOOD + '"b@example.com,B,2\n', TEXTS, "row 3"),
    "not UTF-8": (GOOD.encode() + b"b@example.com,\xff\xfe,2\n", TEXTS, "row 3, column name"),
    "NUL": (GOOD + "b@example.com,\0,2\n", TEXTS, "row 3, column name"),
    "an Excel file": (b"PK\x03\x04" + bytes(100), TEXTS, "Excel"),
    "an unknown variable": (GOOD, {**TEXTS, "text": "{{ nmae }}"}, "nmae"),
    "a broken template": (GOOD, {**TEXTS, "text": "one\n{{ name"}, "text template, line 2"),
    "a hostile template": (GOOD, {**TEXTS, "text": "{{ 'a' * 10**10 }}"}, "text template"),
    "an escape from the sandbox": (GOOD, {**TEXTS, "text": "{{ ''.__class__.__mro__ }}"}, "text template"),
    "neither text nor HTML": (GOOD, {"subject": "x"}, "neither a text nor an HTML"),
    "no subject": (GOOD, {"text": "x"}, "subject"),
    "a header in the sender": (GOOD, {**TEXTS, "sender": "a@example.com\nBcc: b@example.com"}, "sender"),
    "an unknown field": (GOOD, {**TEXTS, "colour": "red"}, "colour"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_named_and_nothing_is_kept(
    mailings: MailingApi, sink: MailSink, tmp_path: Path, name: str
) -> None:
    recipients, texts, expected = FAULTS[name]
    response = await mailings.post(recipients, texts)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert expected in problem["detail"], problem
    assert problem["errors"]
    assert await mailings.jobs() == []
    assert stored(tmp_path) == 0
    assert not sink.deliveries


async def test_other_media_types_and_oversized_json_are_refused(mailings: MailingApi, settings: Settings) -> None:
    response = await mailings.client.post("/email/mailings", content=b"x", headers={"Content-Type": "text/csv"})
    assert (response.status_code, response.json()["type"]) == (415, "urn:celeriac:problem:unsupported-media-type")
    body = {**TEXTS, "recipients": [{"email": "a@example.com", "name": "x" * settings.max_body_bytes}]}
    response = await mailings.client.post("/email/mailings", json=body)
    assert response.status_code == 413, response.text


async def test_json_recipients_are_checked_one_by_one(mailings: MailingApi) -> None:
    recipients: list[Any] = [
        {"email": "a@example.com", "name": "A", "order": 1},
        {"email": "b@example.com", "name": "B"},
    ]
    response = await mailings.client.post("/email/mailings", json={**TEXTS, "recipients": recipients})
    assert response.status_code == 422
    assert "row 2, column order: is missing" in response.json()["detail"]


async def test_the_same_request_under_a_key_is_one_mailing(mailings: MailingApi, tmp_path: Path) -> None:
    answers = await asyncio.gather(*(mailings.post(table(3), key="newsletter-1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await mailings.jobs()) == 1
    assert stored(tmp_path) == 1
    other = await mailings.post(table(4), key="newsletter-1")
    assert (other.status_code, other.json()["type"]) == (409, "urn:celeriac:problem:idempotency-conflict")
    assert stored(tmp_path) == 1


async def test_without_a_mail_server_nothing_is_accepted(settings: Settings) -> None:
    with serving(create_api(settings, {"email": EmailSettings(smtp_url=None)})) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=60, base_url=server.url) as client:
            response = await MailingApi(client).post(GOOD)
    assert response.status_code == 503
    assert "CELERIAC_SMTP_URL" in response.json()["detail"]


@pytest.mark.parametrize("path", ["", "/recipients.csv"])
async def test_an_unknown_mailing_is_404(mailings: MailingApi, path: str) -> None:
    for unknown in ("nope", "00000000-0000-4000-8000-000000000000", "%00", "a" * 5000):
        response = await mailings.client.get(f"/email/mailings/{unknown}{path}")
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("rows", quick_first([25_000, 100_000]))
async def test_many_rows_are_accepted_while_the_api_answers(mailings: MailingApi, rows: int) -> None:
    upload = asyncio.create_task(mailings.post(table(rows)))
    longest = 0.0
    with fair_clock() as clock:
        while not upload.done():
            asked = clock()
            assert (await mailings.client.get("/health/live")).status_code == 200
            longest = max(longest, clock() - asked)
            await asyncio.sleep(0.01)  # a pace for the questions; nothing waits for it
        took = clock()
    response = await upload
    assert response.status_code == 202, response.text
    assert (await mailings.show(response.json()["id"]))["recipients"] == rows
    assert longest < took / 2, f"the API did not answer for {longest:.2f} s"


def stored(data_dir: Path) -> int:
    """How many mailings the ledger holds."""
    database = data_dir / "celeriac.db"
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM celeriac_email_mailing").fetchone()[0])
