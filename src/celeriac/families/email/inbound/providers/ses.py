"""Amazon SES, which tells through a topic of Amazon SNS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.families.email.inbound.mail import place_in
from celeriac.families.email.inbound.model import Feedback, Kind
from celeriac.families.email.inbound.providers.base import (
    NotGenuine,
    NotUnderstood,
    Provider,
    address,
    bounce_kind,
    member,
    name_of,
    objects,
    parsed,
    text,
)
from celeriac.families.email.inbound.providers.sns import AmazonPages, Signatures
from celeriac.families.email.status_codes import find_code
from celeriac.families.email.tokens import Purpose, Tokens

_CONFIRMATION = "SubscriptionConfirmation"


class Ses(Provider):
    """Anybody with an account at Amazon can have SNS sign messages, so only those of one topic are taken."""

    name = "ses"

    def __init__(self, topic: str, tokens: Tokens | None, pages: AmazonPages | None = None) -> None:
        """`topic` is the ARN of the topic. `tokens` read the return path of a mail."""
        self._topic = topic
        self._tokens = tokens
        self._pages = pages or AmazonPages()
        self._signatures = Signatures(self._pages)

    async def check(self, headers: Mapping[str, str], body: bytes) -> None:
        try:
            message = parsed(body)
        except NotUnderstood:
            raise NotGenuine("it is not JSON") from None
        if text(message, "TopicArn") != self._topic:
            raise NotGenuine("it is of another topic")
        await self._signatures.check(message)
        if text(message, "Type") == _CONFIRMATION:
            await self._pages.fetch(text(message, "SubscribeURL"))

    def read(self, body: bytes) -> Sequence[Feedback]:
        outer = parsed(body)
        if text(outer, "Type") != "Notification":
            return []
        inner = member(outer, "Message")
        if not isinstance(inner, str):
            raise NotUnderstood("Message is missing")
        try:
            told = parsed(inner)
        except NotUnderstood:
            return []  # a test of the topic, in words
        match text(told, "notificationType") or text(told, "eventType"):
            case "Bounce":
                return [
                    self._feedback(told, one, _bounce(told, one), "bounce") for one in _of(told, "bounce", "bounced")
                ]
            case "Complaint" if text(told, "complaint", "complaintFeedbackType") != "not-spam":
                found = _of(told, "complaint", "complained")
                return [self._feedback(told, one, Kind.COMPLAINT, "complaint") for one in found]
            case _:
                return []

    def _feedback(self, told: Any, recipient: Any, kind: Kind, of: str) -> Feedback:
        words = text(recipient, "diagnosticCode")
        path = text(told, "mail", "source")
        return Feedback(
            kind=kind,
            source=self.name,
            event=f"{name_of(told, of, 'feedbackId')}/{text(recipient, 'emailAddress')}",
            place=place_in([path], self._tokens, Purpose.BOUNCE) if self._tokens is not None else None,
            message_id=_message_id(told),
            address=address(recipient, "emailAddress"),
            status=find_code(text(recipient, "status")) or find_code(words),
            diagnostic=words,
        )


def _of(told: Any, name: str, which: str) -> list[dict[str, Any]]:
    return list(objects(member(told, name, f"{which}Recipients")))


def _bounce(told: Any, recipient: Any) -> Kind:
    if text(told, "bounce", "bounceType") != "Permanent":
        return Kind.SOFT_BOUNCE
    general = text(told, "bounce", "bounceSubType") in ("General", "NoEmail", "Suppressed", "OnAccountSuppressionList")
    words = f"{text(recipient, 'status')} {text(recipient, 'diagnosticCode')}"
    coded = find_code(words)
    if coded is not None and not coded.startswith("5.0."):
        return bounce_kind(words, default=Kind.SOFT_BOUNCE)
    return Kind.HARD_BOUNCE if general else Kind.SOFT_BOUNCE


def _message_id(told: Any) -> str | None:
    """Return the Message-ID that we gave. Amazon replaces it, and may tell the headers that came."""
    headers = member(told, "mail", "headers")
    if isinstance(headers, list):
        for header in objects(headers):
            if text(header, "name").lower() == "message-id":
                return text(header, "value") or None
    return text(told, "mail", "commonHeaders", "messageId") or None
