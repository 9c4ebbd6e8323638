"""What a mailing is made of, and what can become of one of its recipients. Plain data, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: Longest name of a template's variable, in characters.
MAX_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """One text, in one or two forms, for many recipients.

    Attributes:
        id: the id of the mailing's job.
        sender: `address` or `Name <address>`, the From header; its address is the envelope sender too.
        subject: a Jinja template that renders to one line.
        html: a Jinja template, values escaped; None if the mail has only a plain text.
        text: a Jinja template, values as they are; None if the mail has only HTML.
        list_unsubscribe: the List-Unsubscribe header (RFC 2369) as it is to be sent, or None.
        stopped: why it was stopped before its end, with recipients still open; None if it was not.
    """

    id: str
    sender: str
    subject: str
    html: str | None = None
    text: str | None = None
    list_unsubscribe: str | None = None
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets the mail. `row` is the row in the file (or the place in the list, from 1) it was read from."""

    row: int
    address: str
    variables: Mapping[str, Any]


class Status(StrEnum):
    """Where a recipient is in the ledger."""

    PENDING = "pending"
    """Not sent yet, or refused for the time being."""
    SENDING = "sending"
    """A sender has it in hand. Left behind by one that died: then whether the mail went out is not known."""
    SENT = "sent"
    """The mail server has taken responsibility for it (RFC 5321, 4.2.5). Never sent again."""
    FAILED = "failed"
    """Given up; `code` and `error` say why."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The server accepted the message for this recipient."""

    code: int


@dataclass(frozen=True, slots=True)
class PermanentFailure:
    """Trying again would end the same way (RFC 5321, 4.2.1: 5yz). `code` is None if the server was not asked."""

    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class TransientFailure:
    """Trying again later may succeed: a 4yz reply, or (`code` None) a connection that broke."""

    code: int | None
    text: str


Outcome = Sent | PermanentFailure | TransientFailure


@dataclass(frozen=True, slots=True)
class OpenRecipient:
    """A recipient that has no final outcome yet.

    Attributes:
        attempts: how often sending was begun.
        message_id: the Message-ID used before, if it was; what may have gone out is repeated only under that.
        held_ms: for how much longer a claim on it holds, in milliseconds by the database's clock; 0: it is free.
    """

    position: int
    address: str
    variables: dict[str, Any]
    attempts: int
    message_id: str | None
    held_ms: int


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """One line of the ledger, as it is exported."""

    position: int
    address: str
    status: Status
    attempts: int
    code: int | None
    error: str | None
    message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many recipients of a mailing have which status."""

    pending: int = 0
    sending: int = 0
    sent: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All recipients."""
        return self.pending + self.sending + self.sent + self.failed

    @property
    def finished(self) -> int:
        """Recipients whose outcome is final."""
        return self.sent + self.failed


def progress(mailing: Mailing, counts: Counts) -> dict[str, Any]:
    """A mailing and how far it is, as its API and its commands show it."""
    return {
        "id": mailing.id,
        "sender": mailing.sender,
        "subject": mailing.subject,
        "recipients": counts.total,
        "sent": counts.sent,
        "failed": counts.failed,
        "open": counts.total - counts.finished,
        "stopped": mailing.stopped,
    }
