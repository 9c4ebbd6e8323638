"""Errors of bulk mail.

CeleriacError
├── MailServerUnavailable       the mail server cannot be reached, or takes no mail from us
├── MailboxUnavailable          the mailbox of bounces cannot be read
├── LookupFailed                the DNS does not say whether there is a record
├── JobRefused
│   └── SubmissionInvalid
│       ├── RecipientsInvalid   the recipients of a mailing have faults, each with its row and column
│       ├── AttachmentInvalid   an attachment is no file of a job, or too large
│       └── TemplateInvalid     a template cannot be used; names the template, the line and the fault
└── how a mailing's jobs may fail
    ├── TestMailRefused         the mail server did not take a test mail
    ├── RecipientsDeferred      some recipients were refused for the time being
    ├── AttachmentGone          a file that the mails are to have was deleted or replaced
    ├── MailingStopped          the mail server refuses the sender
    └── MailingIncomplete       chunks ended early, and recipients are still open
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from celeriac.core.errors import CeleriacError, SubmissionInvalid


class MailServerUnavailable(CeleriacError):
    """The mail server cannot be reached, or accepts no mail from us. `code` is its SMTP reply code, if it replied."""

    def __init__(self, server: str, reason: str, code: int | None = None) -> None:
        self.server = server
        self.reason = reason
        self.code = code
        super().__init__(f"the mail server {server} cannot be used: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.server, self.reason, self.code)


class MailboxUnavailable(CeleriacError):
    """The mailbox of bounces cannot be read. `mailbox` says which, without a password."""

    def __init__(self, mailbox: str, reason: str) -> None:
        self.mailbox = mailbox
        self.reason = reason
        super().__init__(f"the mailbox {mailbox} cannot be read: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mailbox, self.reason)


class LookupFailed(CeleriacError):
    """The DNS does not say whether a name has a record. `name` is the name, `reason` why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name} cannot be looked up: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.reason)


class RecipientsInvalid(SubmissionInvalid):
    """The recipients of a mailing have faults.

    `faults` has one dict for each fault: `row` (numbered as in a spreadsheet; None if the whole file is faulty),
    `column` (or None) and `message`. `more` says that the search stopped before the end of the list.
    """

    def __init__(self, faults: Sequence[dict[str, Any]], *, more: bool = False) -> None:
        self.more = more
        shown = "; ".join(map(_line, faults))
        super().__init__(f"invalid recipients: {shown}{'; and more' if more else ''}", faults)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), more=self.more), (self.faults,)


def _line(fault: dict[str, Any]) -> str:
    place = ", ".join(f"{key} {fault[key]}" for key in ("row", "column") if fault[key] is not None)
    return f"{place}: {fault['message']}" if place else str(fault["message"])


class TemplateInvalid(SubmissionInvalid):
    """A template cannot be used. `template` names it, `line` is the line (None: no single one), `fault` says why."""

    def __init__(self, template: str, line: int | None, fault: str) -> None:
        self.template = template
        self.line = line
        self.fault = fault
        place = f"{template} template, line {line}" if line else f"{template} template"
        told = {"template": template, "line": line, "message": fault}
        super().__init__(f"{place}: {fault}", [told])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.template, self.line, self.fault)


class AttachmentInvalid(SubmissionInvalid):
    """An attachment or an image of a mailing cannot be sent. `place` is its place in the list (from 0), or the image's
    name; `fault` says why."""

    def __init__(self, place: int | str, fault: str) -> None:
        self.place = place
        self.fault = fault
        member = "attachments" if isinstance(place, int) else "inline_images"
        super().__init__(f"{member}.{place}: {fault}", [{"loc": ["body", member, place], "msg": fault}])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.place, self.fault)


class AttachmentGone(CeleriacError):
    """A file that all mails of a mailing are to have was deleted or replaced. It stops the mailing."""


class TestMailRefused(CeleriacError):
    """The mail server did not take a test mail. The message is its reply, or why there was none."""


class RecipientsDeferred(CeleriacError):
    """The mail server refused some recipients of a chunk for the time being. The chunk's next attempt tries them."""


class MailingStopped(CeleriacError):
    """The mail server refuses the sender. The remaining recipients wait until the mailing's job is retried."""


class MailingIncomplete(CeleriacError):
    """Some chunks ended early, and recipients are still open. A retry of the mailing's job sends to them."""
