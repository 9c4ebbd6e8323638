"""What comes back from mails that were sent. Pure.

A *bounce* says that a mail was not delivered: because the address is dead (hard), or for another reason, after the last
try (soft). A *complaint* says that the recipient called the mail spam.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

_MAX_DIAGNOSTIC = 500
_MAX_STATUS = 16


class Kind(StrEnum):
    """What was told of a mail."""

    HARD_BOUNCE = "hard_bounce"
    """The address will never get mail. It is suppressed."""
    SOFT_BOUNCE = "soft_bounce"
    """This mail was given up, and the next may arrive."""
    COMPLAINT = "complaint"
    """The recipient called it spam. The address is suppressed."""
    UNSUBSCRIBE = "unsubscribe"
    """The recipient wants no more mail of the list."""


@dataclass(frozen=True, slots=True)
class Place:
    """A recipient of a mailing: the mailing's id, and the position."""

    mailing_id: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One bounce or complaint.

    Attributes:
        kind: what it says.
        source: who said so: `message`, or a provider.
        event: what names it at the source, so that it counts once however often it is told.
        place: the recipient whose mail it was, as a signed token or an authenticated provider says; None: unknown.
        message_id: the Message-ID of the mail, from an authenticated provider; None: unknown.
        address: the recipient's address, from an authenticated provider; None: unknown.
        status: the enhanced status code (RFC 3463), or None.
        diagnostic: the words of the server that refused the mail.
    """

    kind: Kind
    source: str
    event: str
    place: Place | None = None
    message_id: str | None = None
    address: str | None = None
    status: str | None = None
    diagnostic: str = ""

    @property
    def key(self) -> str:
        """The name under which it is stored, 64 characters."""
        return hashlib.sha256("\0".join((self.source, self.kind, self.event)).encode(errors="replace")).hexdigest()

    @property
    def said(self) -> str:
        """Status and diagnostic in one printable line, of bounded length."""
        words = self.diagnostic
        if self.status is not None and self.status not in words:
            words = f"{self.status} {words}"
        line = " ".join(words.encode(errors="replace").decode().split())
        return "".join(letter if letter.isprintable() else "?" for letter in line)[:_MAX_DIAGNOSTIC]

    @property
    def short_status(self) -> str | None:
        """The status, if it fits the ledger."""
        return self.status if self.status and len(self.status) <= _MAX_STATUS else None
