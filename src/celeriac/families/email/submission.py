"""Accepts a mailing. It checks and stores all of the mailing before any mail is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from celeriac.client.client import JobClient
from celeriac.client.options import EnqueueOptions
from celeriac.core import codec
from celeriac.core.errors import IdempotencyConflict, InvalidArguments, UnknownJob
from celeriac.core.ids import new_id
from celeriac.core.interrupt import run_with_deadline
from celeriac.core.records import JobRecord
from celeriac.families.email.attachments import AttachmentChoice
from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.jobs import EmailJobs
from celeriac.families.email.model import Mailing, Recipient
from celeriac.families.email.recipients import Recipients
from celeriac.families.email.templates import MailTemplates

T = TypeVar("T")

#: Longest time to compile the templates, or to render one mail. Either usually takes some milliseconds.
_TEMPLATE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submitted mailing. Under one idempotency key, `fingerprint` (hexadecimal) tells submissions apart."""

    sender: str
    subject: str
    text: str | None
    html: str | None
    list_unsubscribe: str | None
    list_name: str | None = None
    attachments: Sequence[AttachmentChoice]
    recipients: Recipients
    fingerprint: str


async def submit(
    client: JobClient, jobs: EmailJobs, submission: Submission, *, idempotency_key: str | None
) -> JobRecord:
    """Check and store a mailing, enqueue its job, and return the job's record. Its id is that of the mailing.

    Raises:
        TemplateInvalid, RecipientsInvalid, AttachmentInvalid: name what to change.
        IdempotencyConflict: the key was used before, for another mailing.
        UnknownJob: the key belongs to a mailing whose job has expired.
        DatabaseUnavailable: nothing was accepted.
        BrokerUnavailable: it may or may not be accepted. Send the same request with the same key to find out.
    """
    mailing = Mailing(
        id=new_id(),
        sender=submission.sender,
        subject=submission.subject,
        text=submission.text,
        html=submission.html,
        list_unsubscribe=submission.list_unsubscribe,
        list_name=submission.list_name,
        attachments=await jobs.attachments.find(submission.attachments),
    )
    await jobs.ledger.create(mailing, _checked_recipients(mailing, submission.recipients, jobs.supplied))
    options = EnqueueOptions(job_id=mailing.id, idempotency_key=idempotency_key, fingerprint=submission.fingerprint)
    try:
        job = await client.submit(jobs.mailing.call(mailing.id), options)
    except (IdempotencyConflict, UnknownJob):
        await jobs.ledger.discard(mailing.id)
        raise
    if job.id != mailing.id:  # an earlier request was the same, and its mailing exists
        await jobs.ledger.discard(mailing.id)
    return job


async def submit_mapping(
    client: JobClient, jobs: EmailJobs, mailing: Mapping[str, Any], sender: str, idempotency_key: str | None
) -> JobRecord:
    """Submit a mailing that code has put together, as it would be sent in JSON. `sender` is the default sender.

    Raises:
        InvalidArguments: a field is missing or wrong. Else as `submit`.
    """
    from fastapi.exceptions import RequestValidationError

    from celeriac.families.email.form import json_submission

    jobs.server()  # raises if a setting is missing, before anything is stored
    fingerprint = hashlib.sha256(codec.dumps(mailing)).hexdigest()
    try:
        submission = json_submission(mailing, fingerprint, sender)
    except RequestValidationError as error:
        told = [{**fault, "loc": fault["loc"][1:]} for fault in error.errors()]
        raise InvalidArguments(jobs.mailing.name, told) from None
    return await submit(client, jobs, submission, idempotency_key=idempotency_key)


def _checked_recipients(mailing: Mailing, recipients: Recipients, supplied: Mapping[str, str]) -> Iterator[Recipient]:
    """Yield the recipients after checking that the templates fit them. It runs in the ledger's thread.

    `supplied` are the variables that each mail has beside those of its recipient, with values of nobody.
    """
    templates = _bounded(partial(MailTemplates, subject=mailing.subject, text=mailing.text, html=mailing.html))
    if recipients.columns is not None:
        templates.check_columns({*recipients.columns, *supplied})
    tried = False
    for recipient in recipients.read(templates.required - supplied.keys()):
        if not tried:
            _bounded(partial(templates.render, {**supplied, **recipient.variables, "email": recipient.address}))
            tried = True
        yield recipient


def _bounded(work: Callable[[], T]) -> T:
    try:
        return run_with_deadline(work, _TEMPLATE_TIMEOUT_S)
    except TimeoutError:
        raise TemplateInvalid("mail", None, f"takes more than {_TEMPLATE_TIMEOUT_S:g} s for one recipient") from None
