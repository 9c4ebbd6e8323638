"""Mailings with files of jobs as attachments, through a real worker to a real mail server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
from collections.abc import AsyncGenerator, Callable
from email.message import EmailMessage
from typing import Any, cast

import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.core.errors import InvalidArguments
from celeriac.families.email import EmailFamily, EmailSettings
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.errors import AttachmentInvalid
from celeriac.storage.storage import Storage
from tests.support.mailing_api import MailingApi, table
from tests.support.processes import memory_mb
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = {"subject": "Your report", "text": "It is attached.\n", "html": "<p>It is attached.</p>"}
TO = [{"email": "ada@example.com"}, {"email": "bob@example.com"}]
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 400
ODD_NAME = "Bericht März (1); a=b, 東京.csv"


@pytest_asyncio.fixture(loop_scope="session")
async def sink() -> AsyncGenerator[MailSink]:
    async with MailSink(keep_content=True) as sink:
        yield sink


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage(settings)


async def keep(storage: Storage, job: str, name: str, content: bytes) -> dict[str, str]:
    """Have a job make a file, and return how a mailing names it."""
    writing = await storage.artifacts.begin(job, name)
    await writing.write(content)
    await storage.artifacts.publish(job, writing)
    return {"job": job, "name": name}


def read(content: bytes) -> EmailMessage:
    message = cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))
    assert [part.defects for part in message.walk() if part.defects] == []
    return message


def files_of(message: EmailMessage) -> dict[str | None, tuple[str, bytes]]:
    return {
        part.get_filename(): (part.get_content_type(), bytes(cast(bytes, part.get_payload(decode=True))))
        for part in message.iter_attachments()
    }


async def test_every_mail_has_the_files(
    mailings: MailingApi, sink: MailSink, storage: Storage, start_mail_worker: Callable[[], Worker]
) -> None:
    start_mail_worker()
    table_of = "name;sum\r\n東京;1\r\n".encode()
    attachments = [
        await keep(storage, "job-1", "report.pdf", PDF),
        await keep(storage, "job-2", ODD_NAME, table_of),
        await keep(storage, "job-2", "empty.txt", b""),
    ]
    answer = await mailings.client.post("/email/mailings", json={**TEXT, "recipients": TO, "attachments": attachments})
    assert answer.status_code == 202, answer.text
    assert (await mailings.ended(answer.json()["id"]))["state"] == "succeeded"
    assert sink.mails_per_recipient() == {"ada@example.com": 1, "bob@example.com": 1}
    for delivery in sink.deliveries:
        message = read(delivery.content)
        assert max(map(len, delivery.content.split(b"\r\n"))) <= 998
        assert b"\n" not in delivery.content.replace(b"\r\n", b"")
        bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
        assert [str(body and body.get_content()).strip() for body in bodies] == [
            *("It is attached.", "<p>It is attached.</p>")
        ]
        files = files_of(message)
        assert files["report.pdf"] == ("application/pdf", PDF)
        assert files[ODD_NAME][1] == table_of
        assert files["empty.txt"][1] == b""


async def test_a_form_names_files_in_json(
    mailings: MailingApi, sink: MailSink, storage: Storage, start_mail_worker: Callable[[], Worker]
) -> None:
    start_mail_worker()
    attachments = json.dumps([await keep(storage, "job-1", "report.pdf", PDF)])
    answer = await mailings.post(table(1), {**TEXT, "attachments": attachments})
    assert answer.status_code == 202, answer.text
    await mailings.ended(answer.json()["id"])
    assert files_of(read(sink.deliveries[0].content)) == {"report.pdf": ("application/pdf", PDF)}


@pytest.mark.parametrize(
    ("attachments", "fault"),
    [
        ([{"job": "nobody", "name": "report.pdf"}], "attachments.0: job 'nobody' has no file 'report.pdf'"),
        ([{"job": "job-1", "name": "other.pdf"}], "attachments.0: job 'job-1' has no file 'other.pdf'"),
        ([{"job": "job-1", "name": "../job-1/report.pdf"}], "attachments.0: job 'job-1' has no file"),
        ([{"job": "../../etc", "name": "passwd"}], "attachments.0: job '../../etc' has no file 'passwd'"),
        ([{"job": "job-1", "name": "report.pdf"}] * 2, "name each file once"),
        ([{"job": "job-1", "name": f"{n}.pdf"} for n in range(11)], "attachments"),
        ([{"job": "job-1"}], "attachments.0.name"),
        ([{"job": "job-1", "name": "large.bin"}], "more than 1 MB (CELERIAC_MAIL_ATTACHMENTS_MB)"),
        ("[", "attachments: expected JSON"),
        ("[" * 100_000, "attachments: expected JSON"),
        ('"report.pdf"', "attachments"),
    ],
)
async def test_what_cannot_be_attached_is_refused(
    mailings: MailingApi, storage: Storage, attachments: Any, fault: str
) -> None:
    await keep(storage, "job-1", "report.pdf", PDF)
    await keep(storage, "job-1", "large.bin", bytes(1_000_001))
    if isinstance(attachments, str):
        answer = await mailings.post(table(1), {**TEXT, "attachments": attachments})
    else:
        answer = await mailings.client.post(
            "/email/mailings", json={**TEXT, "recipients": TO, "attachments": attachments}
        )
    assert answer.status_code == 422, answer.text
    assert fault in answer.json()["detail"]


@pytest.fixture
def email_settings(sink: MailSink) -> EmailSettings:
    return EmailSettings(smtp_url=SecretStr(sink.url), mail_from="a@example.com", mail_attachments_mb=1)


@pytest.mark.parametrize("replaced", [False, True])
async def test_nobody_gets_a_mail_without_its_file_or_with_another(
    mailings: MailingApi, sink: MailSink, storage: Storage, start_mail_worker: Callable[[], Worker], replaced: bool
) -> None:
    attachments = [await keep(storage, "job-1", "report.pdf", PDF)]
    answer = await mailings.client.post("/email/mailings", json={**TEXT, "recipients": TO, "attachments": attachments})
    if replaced:
        await keep(storage, "job-1", "report.pdf", PDF + b"!")
    else:
        await storage.artifacts.delete("job-1")
    start_mail_worker()
    job = await mailings.ended(answer.json()["id"])
    told = "was replaced after the submission" if replaced else "report.pdf of job job-1 is gone"
    assert (job["state"], told in job["error"]["message"]) == ("failed", True)
    shown = await mailings.show(answer.json()["id"])
    assert (shown["open"], told in shown["stopped"]) == (2, True)
    assert sink.deliveries == []
    if not replaced:  # an operator brings the file back, and retries
        await keep(storage, "job-1", "report.pdf", PDF)
        await mailings.client.post(f"/jobs/{job['id']}/retry")
        assert (await mailings.ended(job["id"]))["state"] == "succeeded"
        assert len(sink.deliveries) == 2


async def test_code_sends_a_mailing_once_for_a_key(
    settings: Settings, email_settings: EmailSettings, storage: Storage
) -> None:
    app = Celeriac("shop", settings=settings)
    family = app.include_family(EmailFamily, email_settings)
    mailing = {**TEXT, "recipients": TO, "attachments": [await keep(storage, "job-1", "report.pdf", PDF)]}
    first, again = [await family.send(mailing, idempotency_key="tonight") for _ in range(2)]
    assert first.id == again.id
    with pytest.raises(AttachmentInvalid, match="has no file"):
        await family.send({**mailing, "attachments": [{"job": "job-1", "name": "x"}]})
    with pytest.raises(InvalidArguments, match="recipients"):
        await family.send(TEXT)
    await app.client.aclose()
    await asyncio.to_thread(app.close)


@pytest.mark.slow
async def test_large_files_for_many_recipients_fit_into_little_memory(
    mailings: MailingApi, sink: MailSink, storage: Storage, start_mail_worker: Callable[..., Worker]
) -> None:
    content = os.urandom(900_000)
    attachments = [await keep(storage, "job-1", "large.bin", content)]
    worker = start_mail_worker()
    before = max(map(memory_mb, worker.children()))
    recipients = [{"email": f"user{n}@example.com"} for n in range(600)]
    answer = await mailings.client.post(
        "/email/mailings", json={**TEXT, "recipients": recipients, "attachments": attachments}
    )
    assert (await mailings.ended(answer.json()["id"]))["state"] == "succeeded"
    assert len(sink.deliveries) == 600
    assert files_of(read(sink.deliveries[-1].content))["large.bin"][1] == content
    assert max(map(memory_mb, worker.children())) - before < 60
