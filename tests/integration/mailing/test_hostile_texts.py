"""Texts that are bad for whoever parses them: they are refused by name, at the cost of harmless ones."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

import httpx2
import pytest

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.email import EmailSettings
from tests.support.api_server import ApiServer, serving
from tests.support.mailing_api import TEXTS

#: Seconds of CPU on the event loop for one request; a harmless one takes some milliseconds.
SECONDS = 0.5
RECIPIENT = {"email": "a@example.com", "name": "A", "order": 1}
MANY_READINGS = "{{ '" + "%00d" * 1000 + "%'|format(1) }}"

HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "sender of spaces": ("sender", {"sender": " " * 2000}),
    "sender of many spaces": ("sender", {"sender": " " * 50_000}),
    "sender that fits": ("sender", {"sender": " " * 998}),
    "sender of brackets": ("sender", {"sender": "<" * 998}),
    "sender of letters": ("sender", {"sender": "a" * 500_000}),
    "sender of dots": ("sender", {"sender": "a." * 100_000 + "@"}),
    "sender of jamo": ("sender", {"sender": "\u1100\u1161\u11a8" * 80 + "@example.com"}),
    "header": ("list_unsubscribe", {"list_unsubscribe": "<" * 500_000}),
    "subject": ("subject", {"subject": "{" * 500_000}),
    "text": ("text", {"text": "{{x}}" * 100_000}),
    "format": ("text", {"text": MANY_READINGS}),
    "many parts": ("text", {"text": "{{x}}" * 50_000}),
}  # fmt: skip

RECIPIENTS: dict[str, tuple[str, list[dict[str, Any]] | str]] = {
    "address": ("row 1, column email", [{**RECIPIENT, "email": "a" * 500_000}]),
    "address that fits": ("row 1, column email", [{**RECIPIENT, "email": " " * 10_000}]),
    "name": ("row 1, column 'xxx", [{**RECIPIENT, "x" * 500_000: 1}]),
    "many names": ("row 1, column name", [{"email": "a@x.com", **{f"x{n}": n for n in range(20_000)}}] * 2),
    "address in CSV": ("row 2, column email", "email,name,order\n" + "a" * 100_000 + ",A,1\n"),
    "address in CSV that fits": ("row 2, column email", "email,name,order\n" + "a" * 9_000 + ",A,1\n"),
    "long value in CSV": ("row 2", "email,name,order\na@example.com," + "a" * 500_000 + ",1\n"),
    "name in CSV": ("row 1, column 2", "email," + "x" * 100_000 + "\na@example.com,A\n"),
    "many names in CSV": ("row 1", "email," + "x," * 20_000 + "y\n"),
    "quotes in CSV": ("row 2", "email,name,order\n" + '"' * 500_000),
}


@pytest.fixture(scope="module")
def server(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[ApiServer]:
    settings = Settings.model_validate({"broker_url": valkey_url, "data_dir": tmp_path_factory.mktemp("hostile")})
    email = EmailSettings.model_validate({"smtp_url": "smtp://127.0.0.1:1"})
    with serving(create_api(settings, {"email": email})) as server:
        yield server


def post(server: ApiServer, body: dict[str, Any], table: str | None) -> tuple[httpx2.Response, float]:
    """The answer, and the CPU time of the event loop's thread meanwhile. `table` is a CSV, and makes it a form."""
    before = server.call(time.thread_time)
    with httpx2.Client(base_url=server.url, timeout=30) as client:
        if table is None:
            headers = {"Content-Type": "application/json"}  # httpx itself encodes no half of a pair
            answer = client.post("/email/mailings", content=json.dumps(body), headers=headers)
        else:
            files = {"recipients": ("recipients.csv", table, "text/csv")}
            answer = client.post("/email/mailings", data=body, files=files)
    return answer, server.call(time.thread_time) - before


def check_refused(answer: httpx2.Response, seconds: float, named: str) -> None:
    assert answer.status_code == 422, answer.text[:500]
    assert named in answer.json()["detail"]
    assert len(answer.content) < 10_000
    assert seconds < SECONDS


@pytest.mark.parametrize("table", [None, "email,name,order\na@example.com,A,1\n"], ids=["json", "form"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_refused_at_the_cost_of_a_harmless_one(
    server: ApiServer, name: str, table: str | None
) -> None:
    named, body = HOSTILE[name]
    recipients = {} if table else {"recipients": [RECIPIENT]}
    check_refused(*post(server, {**TEXTS, **recipients, **body}, table), named)


@pytest.mark.parametrize("name", RECIPIENTS)
def test_hostile_recipients_are_refused_at_the_cost_of_harmless_ones(server: ApiServer, name: str) -> None:
    named, recipients = RECIPIENTS[name]
    if isinstance(recipients, str):
        check_refused(*post(server, TEXTS, recipients), named)
    else:
        check_refused(*post(server, {**TEXTS, "recipients": recipients}, None), named)


HALF = "\ud800"
NOT_UNICODE: dict[str, tuple[list[str | int], dict[str, Any]]] = {
    **{
        name: (["body", name], {name: f"x{HALF}"}) for name in ("sender", "subject", "text", "html", "list_unsubscribe")
    },
    "recipient": (["body", "recipients", 0, "name"], {"recipients": [{**RECIPIENT, "name": HALF}]}),
    "deep": (["body", "recipients", 0, "name", 1, "a"], {"recipients": [{**RECIPIENT, "name": [1, {"a": HALF}]}]}),
    "name": (["body", "recipients", 0], {"recipients": [{**RECIPIENT, HALF: 1}]}),
    "unknown": (["body", "colour"], {"colour": HALF}),
}


@pytest.mark.parametrize("name", NOT_UNICODE)
def test_json_that_is_no_unicode_is_refused_by_its_place(server: ApiServer, name: str) -> None:
    loc, body = NOT_UNICODE[name]
    answer, _ = post(server, {**TEXTS, "recipients": [RECIPIENT], **body}, None)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert [fault["loc"] for fault in answer.json()["errors"]] == [loc]


TABLE = b"email,name,order\na@example.com,A,1\n"


def post_form(
    server: ApiServer, parts: dict[str, bytes], kind: str = "multipart/form-data; boundary=B"
) -> httpx2.Response:
    head = b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    named = {"subject": b"Hello", "text": b"Hello", **parts}
    body = b"".join(head % (name.encode(), b"", value) for name, value in named.items())
    body += head % (b"recipients", b'; filename="a.csv"', TABLE) + b"--B--\r\n"
    with httpx2.Client(base_url=server.url, timeout=30) as client:
        return client.post("/email/mailings", content=body, headers={"Content-Type": kind})


@pytest.mark.parametrize("name", ["sender", "subject", "text", "html", "list_unsubscribe"])
@pytest.mark.parametrize("value", [b"\xed\xa0\x80", b"M\xfcller", b"\xff\xfe"], ids=["half", "latin-1", "utf-16"])
def test_a_form_that_is_not_utf_8_is_refused_by_its_field(server: ApiServer, name: str, value: bytes) -> None:
    answer = post_form(server, {name: value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"] == f"body.{name}: is not UTF-8"


@pytest.mark.parametrize("charset", ["utf-7", "punycode", "unicode_escape", "utf-16", "latin-1", "hex", "x" * 10_000])
def test_a_form_in_another_encoding_is_refused(server: ApiServer, charset: str) -> None:
    before = server.call(time.thread_time)
    answer = post_form(server, {"subject": b"ab" * 200_000}, f"multipart/form-data; boundary=B; charset={charset}")
    assert (answer.status_code, answer.json()["detail"]) == (415, "send the form in UTF-8")
    assert server.call(time.thread_time) - before < SECONDS
