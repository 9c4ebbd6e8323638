"""Reads a raw message that came back: which recipient's mail it is about, and what it says. Pure.

Anybody can write a message that looks like a bounce, so the address in it proves nothing. What proves whose mail it is
about is a token of ours: in the return path to which it came (VERP), or in the headers of the mail that it returns. A
message without one changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from email.message import Message

from celeriac.families.email.inbound.arf import is_report, read_complaint
from celeriac.families.email.inbound.dsn import read_bounce
from celeriac.families.email.inbound.model import Feedback, Kind, Place
from celeriac.families.email.tokens import Purpose, Tokens

#: Bytes of a message that are read. What a bounce says stands before what it returns of the mail.
READ_BYTES = 262_144

SOURCE = "message"

#: Headers in which mail servers and programs write to which address a message came.
_DELIVERED = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "Resent-To")
#: Headers of the mail itself, in what a bounce or report returns of it.
_RETURNED = ("Return-Path", "List-Unsubscribe", "X-Failed-Recipients")
#: Fields of reports that have the mail's return path (RFC 5965, 3.2; RFC 3464, 2.2.1).
_REPORTED = ("Original-Mail-From", "Original-Envelope-Id")

_TOKEN = re.compile(r"[+/]([A-Za-z2-7]{48})(?![A-Za-z2-7])")


def read_message(raw: bytes, tokens: Tokens, *, delivered_to: str = "") -> Feedback | None:
    """Return what a raw message (RFC 5322) says; None if it is about no mail of ours, or says nothing for good.

    Args:
        raw: only the first `READ_BYTES` are read.
        delivered_to: the address to which it came, if the mail server says so.
    """
    try:
        return _read(message_from_bytes(raw[:READ_BYTES]), tokens, delivered_to)
    except RecursionError:  # parts within parts within parts
        return None


def _read(message: Message, tokens: Tokens, delivered_to: str) -> Feedback | None:
    addressed = [delivered_to, *_texts(message, _DELIVERED)]
    if (place := place_in(addressed, tokens, Purpose.UNSUBSCRIBE)) is not None:
        return _feedback(Kind.UNSUBSCRIBE, place)
    place = place_in(addressed, tokens, Purpose.BOUNCE)
    if is_report(message):
        complaint = read_complaint(message)
        place = place or _place_in_parts(message, tokens)
        if complaint is None or place is None:
            return None
        return _feedback(complaint.kind, place, diagnostic=complaint.reporter)
    place = place or _place_in_parts(message, tokens)
    if place is None or (bounce := read_bounce(message)) is None:
        return None
    return _feedback(bounce.kind, place, bounce.status, bounce.diagnostic)


def _feedback(kind: Kind, place: Place, status: str | None = None, diagnostic: str = "") -> Feedback:
    event = f"{place.mailing_id}/{place.position}"
    return Feedback(kind=kind, source=SOURCE, event=event, place=place, status=status, diagnostic=diagnostic)


def _place_in_parts(message: Message, tokens: Tokens) -> Place | None:
    """Look for a token in what a report returns of the mail, and in its machine-readable part."""
    texts = [text for part in _parts(message) for text in _texts(part, (*_RETURNED, *_REPORTED))]
    return place_in(texts, tokens, Purpose.BOUNCE) or place_in(texts, tokens, Purpose.UNSUBSCRIBE)


def _parts(message: Message) -> Iterator[Message]:
    for part in message.walk():
        if part is not message:
            yield part
        if part.get_content_type() in ("text/rfc822-headers", "message/feedback-report") and not part.is_multipart():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield message_from_bytes(payload)


def _texts(message: Message, names: tuple[str, ...]) -> list[str]:
    return [str(value) for name in names for value in message.get_all(name, [])]


def place_in(texts: Sequence[str], tokens: Tokens, purpose: Purpose) -> Place | None:
    """Return the recipient whose token stands in one of the texts: addresses, or values of List-Unsubscribe."""
    for text in texts:
        joined = "".join(text.split()) if purpose is Purpose.UNSUBSCRIBE else text  # headers are folded
        for token in _TOKEN.findall(joined):
            if (place := tokens.read(purpose, token)) is not None:
                return Place(*place)
    return None
