"""A mailing is looked at before it is sent: previews, test mails and variables; and what is sent is what was shown."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import AsyncGenerator, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from celeriac import Settings
from celeriac.families.email.demo.sink import MailSink
from celeriac.storage.storage import Storage
from tests.integration.mailing.test_attachments import keep
from tests.integration.mailing.test_submission import stored
from tests.support.mailing_api import MailingApi
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40
MJML = """<mjml><mj-head><mj-style>.no[[{;}</mj-style></mj-head><mj-body><mj-section><mj-column>
<mj-image src="cid:logo" alt="Shop" />
<mj-text>Dear {{ name }}, your orders:</mj-text>
<mj-table>{% for order in orders %}<tr><td>{{ order }}</td></tr>{% endfor %}</mj-table>
<mj-button href="https://shop.example/?a=1&b={{ id }}">Pay</mj-button>
</mj-column></mj-section></mj-body></mjml>"""
TO = [
    {"email": "ada@example.com", "name": "Ada <b>", "orders": ["pen", "ink"], "id": 1, "town": "X"},
    {"email": "bob@example.com", "name": "Bob", "orders": [], "id": 2, "town": "Y"},
]
CSV = "email,name\nada@example.com,Ada\nbob@example.com,Bob\nada@example.com,Ada again\n"


@pytest_asyncio.fixture(loop_scope="session")
async def sink() -> AsyncGenerator[MailSink]:
    async with MailSink(keep_content=True) as sink:
        yield sink


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage(settings)


async def mailing_of(storage: Storage) -> dict[str, Any]:
    return {
        "subject": "Orders of {{ name }}",
        "mjml": MJML,
        "recipients": TO,
        "inline_images": {"logo": await keep(storage, "job-1", "logo.png", PNG)},
        "attachments": [await keep(storage, "job-2", "bill.pdf", PDF)],
        "list_unsubscribe": "<https://shop.example/u?a=1>, <MAILTO:u@shop.example>",
    }


def parsed(content: bytes) -> EmailMessage:
    message = cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))
    assert [part.defects for part in message.walk() if part.defects] == []
    return message


async def test_a_preview_shows_the_mail_of_a_row_and_what_is_sent_is_the_same(
    mailings: MailingApi, sink: MailSink, storage: Storage, tmp_path: Path, start_mail_worker: Callable[[], Worker]
) -> None:
    mailing = await mailing_of(storage)
    answer = await mailings.client.post("/email/preview", json={**mailing, "row": 1})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["row"], shown["to"], shown["subject"]) == (1, "ada@example.com", "Orders of Ada <b>")
    assert "Dear Ada &lt;b&gt;, your orders:" in shown["html"] and "<mj-" not in shown["html"]
    text = "Shop\n\nDear Ada <b>, your orders:\n\npen\nink\n\nPay (https://shop.example/?a=1&b=1)\n"
    assert shown["text"] == text
    headers = {header["name"]: header["value"] for header in shown["headers"]}
    assert headers["List-Unsubscribe"] == "<https://shop.example/u?a=1>, <MAILTO:u@shop.example>"
    assert headers["Subject"] == "Orders of Ada <b>" and headers["To"] == "ada@example.com"
    assert shown["unused"] == ["town"]
    assert {variable["name"] for variable in shown["variables"]} == {"name", "orders", "id"}
    assert {"template": "mjml", "line": 3} in shown["variables"][0]["uses"] + shown["variables"][1]["uses"]
    assert (await mailings.jobs(), stored(tmp_path), sink.deliveries) == ([], 0, [])

    start_mail_worker()
    answer = await mailings.client.post("/email/mailings", json=mailing)
    assert answer.status_code == 202, answer.text
    assert (await mailings.ended(answer.json()["id"]))["state"] == "succeeded"
    (delivery,) = [delivery for delivery in sink.deliveries if delivery.recipient == "ada@example.com"]
    message = parsed(delivery.content)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None and html is not None
    assert (plain.get_content().replace("\r\n", "\n"), html.get_content().replace("\r\n", "\n").rstrip()) == (
        shown["text"],
        shown["html"].rstrip(),
    )
    assert abs(len(delivery.content) - shown["size"]) < 600

    # mixed{related{alternative{text, HTML}, image}, file}
    assert message.get_content_type() == "multipart/mixed"
    related, attached = message.iter_parts()
    assert related.get_content_type() == "multipart/related"
    assert related.get_param("type") == "multipart/alternative"
    alternative, image = cast(EmailMessage, related).iter_parts()
    assert alternative.get_content_type() == "multipart/alternative"
    assert (image["Content-ID"], image.get_content_type(), image.get_content_disposition()) == (
        *("<logo>", "image/png", "inline"),
    )
    assert image.get_payload(decode=True) == PNG
    assert (attached.get_filename(), attached.get_payload(decode=True)) == ("bill.pdf", PDF)


async def test_a_test_mail_goes_to_another_address_and_counts_nowhere(
    mailings: MailingApi, sink: MailSink, storage: Storage, tmp_path: Path, start_mail_worker: Callable[[], Worker]
) -> None:
    start_mail_worker()
    asked = {**await mailing_of(storage), "row": 2, "to": "Boss@Example.com"}
    answer = await mailings.client.post("/email/test", json=asked)
    assert answer.status_code == 202, answer.text
    job = await mailings.ended(answer.json()["id"])
    assert job["state"] == "succeeded", job
    (delivery,) = sink.deliveries
    assert delivery.recipient == "Boss@example.com"
    message = parsed(delivery.content)
    assert (message["Subject"], message["X-Celeriac-Test"]) == ("[Test] Orders of Bob", "true")
    assert (
        b"cid:logo" in delivery.content
        and [part.get_filename() for part in message.iter_attachments()][-1] == "bill.pdf"
    )
    assert stored(tmp_path) == 0

    sink.answer("boss@example.com", 550, "5.1.1 no such user")
    answer = await mailings.client.post("/email/test", json={**asked, "to": "boss@example.com"})
    job = await mailings.ended(answer.json()["id"])
    assert (job["state"], "no such user" in job["error"]["message"]) == ("failed", True)
    answer = await mailings.client.post("/email/test", json={**asked, "to": "boss"})
    assert (answer.status_code, "body.to: " in answer.json()["detail"]) == (422, True)


async def test_a_form_chooses_its_row_and_faults_are_those_of_a_mailing(mailings: MailingApi) -> None:
    async def preview(**fields: str) -> tuple[int, Any]:
        files = {"recipients": ("recipients.csv", CSV, "text/csv")}
        written = {} if "mjml" in fields and "html" not in fields else {"html": "<p>Dear {{ name }}"}
        answer = await mailings.client.post("/email/preview", data={"subject": "s", **written, **fields}, files=files)
        return answer.status_code, answer.json()

    assert (await preview())[1]["text"] == "Dear Ada\n"
    assert (await preview(row="3"))[1]["text"] == "Dear Bob\n"
    assert (await preview(row="4", duplicates="all"))[1]["text"] == "Dear Ada again\n"
    faults = {
        "row 4, column email: ada@example.com is in row 2 already": {"row": "4"},
        "row 4: is not there, is empty, or is left out as a duplicate": {"row": "4", "duplicates": "first"},
        "row 9: is not there": {"row": "9", "duplicates": "first"},
        "html template, line 1: there is no column for 'nmae' (did you mean name?), 'twon'": {
            "html": "{{ nmae }}{{ twon }}{{ other|default('') }}"
        },
        "html template: shows cid:x, and no inline image has this name": {"html": "<img src=cid:x>"},
        "mjml template, line 2: MJML has no <p>": {"mjml": "<mjml><mj-body>\n<p>"},
        "mjml: becomes the HTML; leave out `html`": {"html": "x", "mjml": "x"},
        "inline_images.a: job 'x' has no file 'y'": {
            "html": "<img src=cid:a>",
            "inline_images": json.dumps({"a": {"job": "x", "name": "y"}}),
        },
        "row: Input should be greater than or equal to 1": {"row": "0"},
    }
    for fault, fields in faults.items():
        status, problem = await preview(**fields)
        assert (status, fault in problem["detail"]) == (422, True), problem


async def test_what_is_no_image_is_not_shown(mailings: MailingApi, storage: Storage) -> None:
    images = {"logo": await keep(storage, "job-1", "bill.pdf", PDF)}
    body = {"subject": "s", "html": "<img src='cid:logo'>", "recipients": TO, "inline_images": images}
    answer = await mailings.client.post("/email/mailings", json=body)
    assert answer.status_code == 422
    assert "inline_images.logo: 'bill.pdf' is no image, but application/pdf" in answer.json()["detail"]


async def test_warnings_do_not_keep_a_mail_from_being_sent(mailings: MailingApi) -> None:
    html = "<style>a[[{x:y} p{color:red}</style><p>x</p>"
    answer = await mailings.client.post("/email/preview", json={"subject": "s", "html": html, "recipients": TO})
    assert answer.json()["warnings"] == ["the CSS rule 'a[[{x:y}' cannot be read, and stays in <style>"]
    assert '<p style="color: red;">x</p>' in answer.json()["html"]
    body = {"subject": "s", "html": html, "recipients": TO, "inline_css": False}
    answer = await mailings.client.post("/email/preview", json=body)
    assert (answer.json()["html"], answer.json()["warnings"]) == (html, [])


async def test_the_variables_of_templates_are_listed_and_compared_with_columns(mailings: MailingApi) -> None:
    body = {
        "subject": "{{ name }}",
        "html": "\n{{ town }}{{ name }}{% if vip is defined %}{{ vip }}{% endif %}{% for o in orders %}{% endfor %}",
        "columns": ["email", "name", "twon"],
    }
    answer = await mailings.client.post("/email/variables", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert {variable["name"]: variable["required"] for variable in told["variables"]} == {
        **{"name": True, "orders": True, "town": True, "vip": False}
    }
    uses = {variable["name"]: variable["uses"] for variable in told["variables"]}["name"]
    assert uses == [{"template": "subject", "line": 1}, {"template": "html", "line": 2}]
    assert (told["missing"], told["unused"]) == (["orders", "town"], ["twon"])
    answer = await mailings.client.post("/email/variables", json={"html": "{{ a"})
    assert (answer.status_code, "html template, line 1" in answer.json()["detail"]) == (422, True)
