"""Reads complaints in the Abuse Reporting Format (RFC 5965). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from typing import cast

from celeriac.families.email.inbound.model import Kind

#: What a report means by its Feedback-Type (section 7.3, RFC 6650). Others are about no recipient's wish:
#: `not-spam` takes back, `auth-failure` and `dmarc` tell of forgeries.
_KINDS = {
    "abuse": Kind.COMPLAINT,
    "fraud": Kind.COMPLAINT,
    "virus": Kind.COMPLAINT,
    "opt-out": Kind.UNSUBSCRIBE,
    "opt-out-list": Kind.UNSUBSCRIBE,
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a feedback report says: its kind, and who reports. Reporters take the recipient's address out."""

    kind: Kind
    reporter: str


def is_report(message: Message) -> bool:
    """Return whether a message is a feedback report, of whatever type."""
    return _fields(message) is not None


def read_complaint(message: Message) -> Complaint | None:
    """Return what a feedback report says. None: it is no such report, or of a type that is about no recipient."""
    fields = _fields(message)
    if fields is None:
        return None
    kind = _KINDS.get(str(fields.get("Feedback-Type", "")).strip().lower())
    if kind is None:
        return None
    return Complaint(kind, " ".join(str(fields.get("User-Agent", "")).split()))


def _fields(message: Message) -> Message | None:
    """Return the machine-readable part of a report, whatever the parser made of it."""
    for part in message.walk():
        if part.get_content_type() != "message/feedback-report":
            continue
        inner = part.get_payload()
        if isinstance(inner, list) and inner:
            return cast(Message, inner[0])
        if isinstance(inner, str):
            return message_from_string(inner)
    return None
