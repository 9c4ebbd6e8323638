"""The data of a mailing, and the outcomes that a recipient can have. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from celeriac.core.clock import to_datetime
from celeriac.families.email.replies import Verdict

#: Seconds that a recipient waits who is held until somebody resumes the mailing: for ever.
HELD_S = float(1 << 50)

#: Longest name of a template's variable, in characters.
MAX_NAME = 100


class MailingState(StrEnum):
    """The state of a mailing. The database has it, whatever becomes of the mailing's job."""

    DRAFT = "draft"
    """Stored and checked. Nothing is sent before somebody starts it."""
    SCHEDULED = "scheduled"
    """It starts at `send_at`."""
    SENDING = "sending"
    """Its job sends to the recipients that have no outcome yet."""
    PAUSED = "paused"
    """Somebody paused it. Nothing is sent before somebody resumes it."""
    STOPPED = "stopped"
    """It has stopped by itself; `stopped` says why. Nothing is sent before somebody resumes it, or retries its job."""
    DONE = "done"
    """Each recipient has a final outcome."""
    CANCELLED = "cancelled"
    """Somebody cancelled it. Nothing is sent any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """One text, in one or two forms, for many recipients.

    Attributes:
        id: the id of the mailing's job.
        sender: `address` or `Name <address>`, the From header; its address is the envelope sender too.
        subject: a Jinja template that renders to one line.
        html: a Jinja template, values escaped; None if the mail has only a plain text.
        text: a Jinja template, values as they are; None: it is made of the HTML.
        list_unsubscribe: the List-Unsubscribe header to send (RFC 2369), or None.
        list_name: the list that the mailing belongs to, which recipients can unsubscribe from; None: no list.
        attachments: the files of jobs that each mail has, with the digests that they had; None or empty: it has none.
        stopped: why the mailing stopped while recipients were open; None if it did not.
        stop_at: rates of failures at which it stops by itself, as fields of `StopAt`; None: those of the settings.
        baseline: the time (`at`) when it last went on after a stop, with the numbers of `sent` and `failed` recipients,
            by kind, of then; or None.
        left_out: rows that were left out, as their address was in an earlier row.
        state: its state in the database.
        recipients: how many were stored with it.
        created_at: when it was submitted. This and the following times are milliseconds since the epoch.
        send_at: when it starts, if it was not to start at once.
        not_after: when its sender said that nothing is to be sent any more; None: the setting decides.
        fingerprint: what tells submissions under one idempotency key apart, for drafts.
    """

    id: str
    sender: str
    subject: str
    html: str | None = None
    text: str | None = None
    list_unsubscribe: str | None = None
    list_name: str | None = None
    stopped: str | None = None
    stop_at: dict[str, Any] | None = None
    baseline: dict[str, Any] | None = None
    left_out: int = 0
    attachments: list[dict[str, Any]] | None = None
    state: MailingState = MailingState.SENDING
    recipients: int = 0
    created_at: int = 0
    send_at: int | None = None
    not_after: int | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of the mail. `row` is its row in the file, or its place in the list (from 1)."""

    row: int
    address: str
    variables: Mapping[str, Any]


class Status(StrEnum):
    """The status of a recipient in the ledger."""

    PENDING = "pending"
    """Not sent yet, or refused for the time being."""
    SENDING = "sending"
    """A sender is sending the mail now. If that sender died, nobody knows whether the mail went out."""
    SENT = "sent"
    """The mail server has taken responsibility for the mail (RFC 5321, 4.2.5). It is never sent again."""
    FAILED = "failed"
    """Celeriac gave up; `code` and `error` say why."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The server accepted the message for this recipient."""

    code: int


@dataclass(frozen=True, slots=True)
class PermanentFailure:
    """A refusal that another try would not change (RFC 5321, 4.2.1: 5yz). `code` is None if no server was asked."""

    code: int | None
    text: str
    kind: Verdict = Verdict.SOFT


@dataclass(frozen=True, slots=True)
class TransientFailure:
    """A failure that may pass: a 4yz reply, or (`code` None) a connection that broke.

    `wait` is how long the recipient is to be left alone, in seconds.
    """

    code: int | None
    text: str
    kind: Verdict = Verdict.LATER
    wait: float = 0.0


Outcome = Sent | PermanentFailure | TransientFailure


@dataclass(frozen=True, slots=True)
class OpenRecipient:
    """A recipient that has no final outcome yet.

    Attributes:
        attempts: how often a sender began to send.
        message_id: the Message-ID of an earlier attempt, or None. Later attempts must use the same.
        held_ms: milliseconds until the claim on it expires, by the database's clock; 0: it is free.
        kind: what the last refusal meant (a `Verdict`), or None.
        wait_ms: milliseconds until it may be tried again.
    """

    position: int
    address: str
    variables: dict[str, Any]
    attempts: int
    message_id: str | None
    held_ms: int
    kind: str | None = None
    wait_ms: int = 0

    @property
    def is_held(self) -> bool:
        """Whether it stays open until somebody resumes the mailing."""
        return self.wait_ms > HELD_S


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """One line of the ledger in an export."""

    position: int
    address: str
    status: Status
    attempts: int
    code: int | None
    error: str | None
    message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The numbers of recipients of a mailing by status."""

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
    """Return the facts and counts of a mailing that its API and its commands show."""
    return {
        "id": mailing.id,
        "state": mailing.state,
        "sender": mailing.sender,
        "subject": mailing.subject,
        "recipients": counts.total,
        "left_out": mailing.left_out,
        "sent": counts.sent,
        "failed": counts.failed,
        "open": counts.total - counts.finished,
        "stopped": mailing.stopped,
        "created_at": _time(mailing.created_at),
        "send_at": _time(mailing.send_at),
        "not_after": _time(mailing.not_after),
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
