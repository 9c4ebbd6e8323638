"""The endpoint for any other source: events in JSON, signed as Standard Webhooks says (HMAC-SHA256, `v1`)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from celeriac.families.email.address import parse_address
from celeriac.families.email.inbound.model import Feedback, Kind, Place
from celeriac.families.email.inbound.providers.base import (
    NotGenuine,
    NotUnderstood,
    Provider,
    member,
    objects,
    parsed,
    recent,
    text,
)
from celeriac.families.email.message import place_of
from celeriac.families.email.status_codes import find_code

_PREFIX = "whsec_"


class SignedEvents(Provider):
    """Reads `{"events": [{"id": …, "kind": …, "message_id" or "email": …, "status": …, "diagnostic": …}]}`.

    `kind` is one of `hard_bounce`, `soft_bounce`, `complaint` and `unsubscribe`. `id` makes it count once.
    """

    name = "events"

    def __init__(self, secrets: Sequence[str]) -> None:
        """Secrets are texts, or bytes in base64 after `whsec_`. Each of them is good, so that they can be changed."""
        self._secrets = [_key(secret) for secret in secrets]

    async def check(self, headers: Mapping[str, str], body: bytes) -> None:
        identifier, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not identifier or not recent(sent_at):
            raise NotGenuine("webhook-id or webhook-timestamp is missing, or the time is more than 5 minutes from ours")
        signed = b".".join((identifier.encode(), sent_at.encode(), body))
        for given in headers.get("webhook-signature", "").split()[:20]:
            version, _, signature = given.partition(",")
            for secret in self._secrets:
                right = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))
                if version == "v1" and hmac.compare_digest(signature.encode(), right):
                    return
        raise NotGenuine("no signature in webhook-signature is right")

    def read(self, body: bytes) -> Sequence[Feedback]:
        found = list[Feedback]()
        for number, event in enumerate(objects(member(parsed(body), "events"))):
            if text(event, "kind") not in set(Kind):
                raise NotUnderstood(f"events.{number}.kind is none of {', '.join(Kind)}")
            if not text(event, "id"):
                raise NotUnderstood(f"events.{number}.id is missing")
            place = place_of(text(event, "message_id"))
            address = _address(text(event, "email"), number)
            if place is None and address is None:
                raise NotUnderstood(f"events.{number} has neither the message_id of a mail of ours nor an email")
            found.append(
                Feedback(
                    kind=Kind(text(event, "kind")),
                    source=self.name,
                    event=text(event, "id"),
                    place=Place(*place) if place is not None else None,
                    address=address,
                    status=find_code(text(event, "status")),
                    diagnostic=text(event, "diagnostic"),
                )
            )
        return found


def _address(email: str, number: int) -> str | None:
    if not email:
        return None
    try:
        return parse_address(email)
    except ValueError as error:
        raise NotUnderstood(f"events.{number}.email: {error}") from None


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
