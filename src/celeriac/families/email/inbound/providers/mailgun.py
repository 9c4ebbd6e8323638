"""Mailgun's webhooks (version 3): JSON with a signature of its own inside."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.families.email.inbound.model import Feedback, Kind
from celeriac.families.email.inbound.providers.base import (
    NotGenuine,
    NotUnderstood,
    Provider,
    address,
    bounce_kind,
    member,
    name_of,
    parsed,
    recent,
    text,
)
from celeriac.families.email.status_codes import find_code


class Mailgun(Provider):
    """Its signature covers a time and a random token, not the event: whoever reads a request could alter it. So let
    Mailgun post to an https URL."""

    name = "mailgun"

    def __init__(self, signing_key: str) -> None:
        self._key = signing_key.encode()

    async def check(self, headers: Mapping[str, str], body: bytes) -> None:
        try:
            signature: Any = member(parsed(body), "signature")
        except NotUnderstood:
            raise NotGenuine("it has no signature") from None
        sent_at, token = text(signature, "timestamp"), text(signature, "token")
        right = hmac.new(self._key, f"{sent_at}{token}".encode(), hashlib.sha256).hexdigest()
        if not token or not hmac.compare_digest(text(signature, "signature").encode(), right.encode()):
            raise NotGenuine("its signature is wrong")
        if not recent(sent_at):
            raise NotGenuine("it was signed more than 5 minutes ago")

    def read(self, body: bytes) -> Sequence[Feedback]:
        event = member(parsed(body), "event-data")
        if not isinstance(event, dict):
            raise NotUnderstood("event-data is missing")
        kind = _kind(event)
        if kind is None:
            return []
        status = text(event, "delivery-status", "enhanced-code")
        code = text(event, "delivery-status", "code")
        words = text(event, "delivery-status", "message") or text(event, "delivery-status", "description")
        return [
            Feedback(
                kind=kind,
                source=self.name,
                event=name_of(event, "id"),
                message_id=text(event, "message", "headers", "message-id") or None,
                address=address(event, "recipient"),
                status=find_code(status) or find_code(words),
                diagnostic=f"{code} {words}".strip(),
            )
        ]


def _kind(event: Any) -> Kind | None:
    match text(event, "event"):
        case "failed" if text(event, "severity") == "permanent":
            words = f"{text(event, 'delivery-status', 'enhanced-code')} {text(event, 'delivery-status', 'message')}"
            by_name = text(event, "reason") in ("bounce", "suppress-bounce")
            return bounce_kind(words, default=Kind.SOFT_BOUNCE if find_code(words) or not by_name else Kind.HARD_BOUNCE)
        case "complained":
            return Kind.COMPLAINT
        case "unsubscribed":
            return Kind.UNSUBSCRIBE
        case _:
            return None
