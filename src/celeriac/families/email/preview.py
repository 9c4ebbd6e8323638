"""Shows what one recipient's mail of a mailing would be. Nothing is stored, and nothing is sent."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from celeriac.core.ids import new_id
from celeriac.core.spec import Call
from celeriac.families.email.address import parse_sender, wire_form
from celeriac.families.email.composition import Composed
from celeriac.families.email.faults import invalid
from celeriac.families.email.jobs import EmailJobs
from celeriac.families.email.message import encoded_size, message_id
from celeriac.families.email.model import Mailing, Recipient
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.prepare import builder_of
from celeriac.families.email.recipients import Recipients
from celeriac.families.email.stationery import NOBODY, Stationery
from celeriac.families.email.submission import Submission, composed_of
from celeriac.families.email.templates import Rendered, Variable
from celeriac.families.email.trial import TestJob, TestOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One mail of a mailing.

    Attributes:
        recipient: whose mail it is.
        to: whom it would go to, in the wire form.
        utf8: whether this address needs SMTPUTF8.
        message: without its files.
        size: octets of the message with its files.
        unused: columns that no template uses.
    """

    recipient: Recipient
    mailing: Mailing
    rendered: Rendered
    to: str
    utf8: bool
    message: bytes
    size: int
    warnings: Sequence[str]
    variables: Mapping[str, Variable]
    unused: Sequence[str]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of the message, decoded."""
        parsed = email.message_from_bytes(self.message, policy=email.policy.default)
        return [(name, str(value)) for name, value in parsed.items()]


async def preview(
    jobs: EmailJobs, stationery: Stationery, submission: Submission, *, test_to: str | None = None
) -> Preview:
    """Make the mail of the row that the submission names, or of the first.

    `test_to` is an address that gets this mail as a test, in its normal form; its subject and a header say so.

    Raises:
        TemplateInvalid, AttachmentInvalid: name what to change.
        RecipientsInvalid: the row is not there, or it or a row before it has faults.
    """
    composed = await composed_of(jobs, submission)
    recipient = await asyncio.to_thread(_row, composed, submission.recipients, submission.row)
    rendered = await asyncio.to_thread(composed.render, recipient)
    mailing = Mailing(
        id=new_id(),
        sender=submission.sender,
        subject=rendered.subject if test_to is None else f"[Test] {rendered.subject}",
        list_unsubscribe=submission.list_unsubscribe,
        list_name=submission.list_name,
        attachments=composed.files,
    )
    to, utf8 = wire_form(test_to or recipient.address)
    nobody, position = NOBODY
    headers = Outgoing(replace(mailing, id=nobody), None, stationery).headers(position)
    message = builder_of(mailing).build(
        to=to,
        subject=mailing.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=message_id(mailing.id, recipient.row, parse_sender(mailing.sender).address.rpartition("@")[2]),
        date=datetime.now(UTC),
        headers=headers if test_to is None else headers + b"X-Celeriac-Test: true\r\n",
    )
    variables = composed.source.variables()
    columns = {*recipient.variables, "email"}
    return Preview(
        recipient=recipient,
        mailing=mailing,
        rendered=rendered,
        to=to,
        utf8=utf8,
        message=message,
        size=len(message) + sum(encoded_size(file["size"]) for file in composed.files),
        warnings=composed.warnings,
        variables=variables,
        unused=sorted(columns - variables.keys() - {"email"}),
    )


def _row(composed: Composed, recipients: Recipients, row: int | None) -> Recipient:
    composed.check_columns(recipients)
    for recipient in recipients.read(composed.required):
        if row is None or recipient.row == row:
            return recipient
        if recipient.row > row:
            break
    raise invalid(row, None, "is not there, is empty, or is left out as a duplicate; choose another with `row`")


def test_call(test: TestJob, made: Preview) -> Call[TestOutcome]:
    """Return the call of the job that sends it. A message is ASCII, if its address is."""
    sender = parse_sender(made.mailing.sender).address
    return test.call(sender, made.to, made.utf8, made.message.decode(), made.mailing.attachments or [])
