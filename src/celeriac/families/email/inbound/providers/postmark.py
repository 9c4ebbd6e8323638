"""Postmark's webhooks: JSON, with the user and password that its URL has (HTTP Basic)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence

from celeriac.families.email.inbound.model import Feedback, Kind
from celeriac.families.email.inbound.providers.base import (
    NotGenuine,
    NotUnderstood,
    Provider,
    address,
    name_of,
    parsed,
    text,
)
from celeriac.families.email.status_codes import find_code

#: What a bounce means by its Type. `Transient`, `DnsError`, `AutoResponder` and others are not the end of it.
_BOUNCES = {
    "HardBounce": Kind.HARD_BOUNCE,
    "BadEmailAddress": Kind.HARD_BOUNCE,
    "AddressChange": Kind.HARD_BOUNCE,
    "ManuallyDeactivated": Kind.HARD_BOUNCE,
    "SoftBounce": Kind.SOFT_BOUNCE,
    "Blocked": Kind.SOFT_BOUNCE,
    "SpamNotification": Kind.SOFT_BOUNCE,
    "DMARCPolicy": Kind.SOFT_BOUNCE,
    "SpamComplaint": Kind.COMPLAINT,
    "Unsubscribe": Kind.UNSUBSCRIBE,
}


class Postmark(Provider):
    """Give its webhook a URL with `user:password@`."""

    name = "postmark"

    def __init__(self, user_and_password: str) -> None:
        self._right = b"Basic " + base64.b64encode(user_and_password.encode())

    async def check(self, headers: Mapping[str, str], body: bytes) -> None:
        if not hmac.compare_digest(headers.get("authorization", "").encode("latin-1", "replace"), self._right):
            raise NotGenuine("user or password is wrong")

    def read(self, body: bytes) -> Sequence[Feedback]:
        event = parsed(body)
        record = text(event, "RecordType")
        if not record:
            raise NotUnderstood("RecordType is missing")
        kind = Kind.COMPLAINT if record == "SpamComplaint" else _BOUNCES.get(text(event, "Type"))
        if record not in ("Bounce", "SpamComplaint") or kind is None:
            return []
        words = text(event, "Details") or text(event, "Description")
        return [
            Feedback(
                kind=kind,
                source=self.name,
                event=name_of(event, "ID"),
                address=address(event, "Email"),
                status=find_code(words),
                diagnostic=words,
            )
        ]
