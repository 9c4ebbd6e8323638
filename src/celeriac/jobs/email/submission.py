"""Accepting a mailing: everything that can be wrong with it is found now, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar

from celeriac.core.errors import InvalidArguments, TemplateInvalid
from celeriac.core.interrupt import run_with_deadline
from celeriac.jobs.email.address import parse_sender
from celeriac.jobs.email.ledger import Ledger
from celeriac.jobs.email.message import MessageBuilder
from celeriac.jobs.email.model import Mailing, Recipient
from celeriac.jobs.email.recipients import Recipients
from celeriac.jobs.email.templates import MailTemplates

T = TypeVar("T")

_TEMPLATE_SECONDS = 5.0


async def submit_mailing(ledger: Ledger, mailing: Mailing, recipients: Recipients) -> int:
    """Check a mailing and its recipients and store them; returns the number of recipients.

    The templates are compared with the recipients' variables and, as a trial, rendered for the first one. The
    work is done in threads; the event loop goes on.

    Raises:
        InvalidArguments: the sender or the List-Unsubscribe header cannot be used.
        TemplateInvalid: names the template, the line and the fault.
        RecipientsInvalid: names rows, columns and faults.
        IdempotencyConflict: there is a mailing with this id.
        DatabaseUnavailable: nothing was stored.
    """
    _check_headers(mailing)
    templates = await asyncio.to_thread(_in_time, lambda: _compiled(mailing))
    if recipients.columns is not None:
        templates.check_columns(recipients.columns)
    return await ledger.create(mailing, _after_a_trial(templates, recipients))


def _check_headers(mailing: Mailing) -> None:
    try:
        sender = parse_sender(mailing.sender)
    except ValueError as error:
        raise _invalid("sender", error) from None
    try:
        MessageBuilder(sender, mailing.list_unsubscribe)
    except ValueError as error:
        raise _invalid("list_unsubscribe", error) from None


def _invalid(field: str, error: ValueError) -> InvalidArguments:
    return InvalidArguments("celeriac.email.mailing", [{"loc": (field,), "msg": str(error), "type": "value_error"}])


def _compiled(mailing: Mailing) -> MailTemplates:
    return MailTemplates(subject=mailing.subject, text=mailing.text, html=mailing.html)


def _after_a_trial(templates: MailTemplates, recipients: Recipients) -> Iterator[Recipient]:
    tried = False
    for recipient in recipients.read(templates.required - {"email"}):
        if not tried:
            variables = {**recipient.variables, "email": recipient.address}
            _in_time(lambda variables=variables: templates.render(variables))
            tried = True
        yield recipient


def _in_time(function: Callable[[], T]) -> T:
    try:
        return run_with_deadline(function, _TEMPLATE_SECONDS)
    except TimeoutError as error:
        raise TemplateInvalid("mail", None, str(error)) from None
