"""Accepts a mailing. It checks and stores all of the mailing before any mail is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from celeriac.client.client import JobClient
from celeriac.core import codec
from celeriac.core.clock import to_ms
from celeriac.core.errors import BrokerUnavailable, IdempotencyConflict, InvalidArguments, UnknownJob
from celeriac.core.ids import new_id
from celeriac.core.records import JobRecord
from celeriac.families.email.attachments import AttachmentChoice
from celeriac.families.email.composition import Composed, compose
from celeriac.families.email.content import Texts
from celeriac.families.email.jobs import EmailJobs
from celeriac.families.email.model import Mailing, MailingState
from celeriac.families.email.recipients import Recipients
from celeriac.families.email.steering import options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submitted mailing. Under one idempotency key, `fingerprint` (hexadecimal) tells submissions apart.

    `row` chooses a recipient to preview (None: the first), and `to` is the address that a test mail goes to.
    """

    sender: str
    texts: Texts
    list_unsubscribe: str | None
    list_name: str | None = None
    stop_at: dict[str, Any] | None = None
    attachments: Sequence[AttachmentChoice]
    inline_images: Mapping[str, AttachmentChoice]
    recipients: Recipients
    fingerprint: str
    row: int | None = None
    to: str | None = None
    draft: bool = False
    send_at: datetime | None = None
    not_after: datetime | None = None


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
    state = MailingState.SENDING if submission.send_at is None else MailingState.SCHEDULED
    mailing = await _stored(jobs, submission, new_id(), state)
    options = options_of(mailing, key=idempotency_key, fingerprint=submission.fingerprint)
    try:
        job = await client.submit(jobs.mailing.call(mailing.id), options)
    except (IdempotencyConflict, UnknownJob):
        await jobs.ledger.discard(mailing.id)
        raise
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"{error}; the mailing {mailing.id} is stored, and the broker may have heard of it: look at it, "
            "and then resume or cancel it, or send the same request again with its idempotency key"
        ) from error
    if job.id != mailing.id:  # an earlier request was the same, and its mailing exists
        await jobs.ledger.discard(mailing.id)
    return job


async def composed_of(jobs: EmailJobs, submission: Submission) -> Composed:
    """Make the content of a submitted mailing. Nothing is stored.

    Raises:
        TemplateInvalid, AttachmentInvalid: name what to change.
    """
    return await compose(
        submission.texts, jobs.attachments, submission.attachments, submission.inline_images, jobs.supplied
    )


async def submit_draft(jobs: EmailJobs, submission: Submission, *, idempotency_key: str | None) -> Mailing:
    """Check and store a mailing, and send nothing before somebody starts it. A key has no end for drafts.

    Raises:
        TemplateInvalid, RecipientsInvalid, AttachmentInvalid: name what to change.
        IdempotencyConflict: the key was used before, for another mailing.
        DatabaseUnavailable: nothing was accepted.
    """
    if idempotency_key is None:
        mailing = await _stored(jobs, submission, new_id(), MailingState.DRAFT)
        return await jobs.ledger.mailing(mailing.id)
    mailing_id = str(UUID(hashlib.sha256(f"draft:{idempotency_key}".encode()).hexdigest()[:32]))
    with suppress(UnknownJob):
        return _same(await jobs.ledger.mailing(mailing_id), submission)
    try:
        await _stored(jobs, submission, mailing_id, MailingState.DRAFT)
    except IdempotencyConflict:  # another request with the key is storing it, or has
        with suppress(UnknownJob):
            return _same(await jobs.ledger.mailing(mailing_id), submission)
        raise
    return await jobs.ledger.mailing(mailing_id)


def _same(known: Mailing, submission: Submission) -> Mailing:
    if known.fingerprint != submission.fingerprint:
        raise IdempotencyConflict(
            f"the idempotency key was used before, with another request, for mailing {known.id}; "
            "use a new key for a new request"
        )
    return known


async def _stored(jobs: EmailJobs, submission: Submission, mailing_id: str, state: MailingState) -> Mailing:
    composed = await composed_of(jobs, submission)
    mailing = Mailing(
        id=mailing_id,
        sender=submission.sender,
        subject=submission.texts.subject,
        text=submission.texts.text,
        html=composed.html,
        list_unsubscribe=submission.list_unsubscribe,
        list_name=submission.list_name,
        stop_at=submission.stop_at,
        attachments=composed.files,
        state=state,
        send_at=_ms(submission.send_at),
        not_after=_ms(submission.not_after),
        fingerprint=submission.fingerprint,
    )
    await jobs.ledger.create(
        mailing, composed.recipients(submission.recipients), lambda: submission.recipients.left_out
    )
    return mailing


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


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
    if submission.draft:
        told = {"loc": ("draft",), "msg": "a draft has no job; leave it out", "type": "value_error"}
        raise InvalidArguments(jobs.mailing.name, [told])
    return await submit(client, jobs, submission, idempotency_key=idempotency_key)
