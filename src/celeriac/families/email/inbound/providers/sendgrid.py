"""SendGrid's Event Webhook: a list of events, signed with ECDSA."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.families.email.inbound.model import Feedback, Kind
from celeriac.families.email.inbound.providers.base import (
    NotGenuine,
    Provider,
    address,
    bounce_kind,
    name_of,
    objects,
    parsed,
    recent,
    text,
)
from celeriac.families.email.status_codes import find_code

_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"


class SendGrid(Provider):
    """It signs the time and the body with a key of its own, whose public half it shows."""

    name = "sendgrid"

    def __init__(self, public_key: str) -> None:
        """`public_key` is what SendGrid shows: an EC key as DER (SubjectPublicKeyInfo), in base64.

        Raises:
            ValueError: it is no such key.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        key = load_der_public_key(base64.b64decode(public_key))
        if not isinstance(key, EllipticCurvePublicKey):
            raise ValueError("it is no key of an elliptic curve")
        self._key = key

    async def check(self, headers: Mapping[str, str], body: bytes) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        sent_at = headers.get(_TIMESTAMP, "")
        try:
            signature = base64.b64decode(headers.get(_SIGNATURE, ""), validate=True)
            self._key.verify(signature, sent_at.encode() + body, ECDSA(SHA256()))
        except (InvalidSignature, binascii.Error, ValueError):
            raise NotGenuine("its signature is wrong") from None
        if not recent(sent_at):
            raise NotGenuine("it was signed more than 5 minutes ago")

    def read(self, body: bytes) -> Sequence[Feedback]:
        return [self._feedback(event, kind) for event in objects(parsed(body)) if (kind := _kind(event)) is not None]

    def _feedback(self, event: Any, kind: Kind) -> Feedback:
        words = text(event, "reason")
        return Feedback(
            kind=kind,
            source=self.name,
            event=name_of(event, "sg_event_id"),
            message_id=text(event, "smtp-id") or None,
            address=address(event, "email"),
            status=find_code(text(event, "status")) or find_code(words),
            diagnostic=words,
        )


def _kind(event: Any) -> Kind | None:
    match text(event, "event"):
        case "bounce" if text(event, "type") == "blocked":
            return Kind.SOFT_BOUNCE
        case "bounce":
            words = f"{text(event, 'status')} {text(event, 'reason')}"
            return bounce_kind(words, default=Kind.SOFT_BOUNCE if find_code(words) else Kind.HARD_BOUNCE)
        case "dropped":
            dead = text(event, "reason") in ("Bounced Address", "Invalid")
            return Kind.HARD_BOUNCE if dead else Kind.SOFT_BOUNCE
        case "spamreport":
            return Kind.COMPLAINT
        case "unsubscribe" | "group_unsubscribe":
            return Kind.UNSUBSCRIBE
        case _:
            return None
