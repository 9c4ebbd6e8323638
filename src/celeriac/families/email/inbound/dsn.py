"""Reads bounces: delivery status notifications (RFC 3464), and by flufl.bounce the many forms that are none. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import cast

from flufl.bounce import all_failures  # pyright: ignore[reportUnknownVariableType]

from celeriac.families.email.inbound.model import Kind
from celeriac.families.email.status_codes import find_code, is_dead

_WORDS_READ = 20_000

# It writes a line for each of its readers, and a traceback for one that trips over what a stranger has written.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)

#: What servers write that give no enhanced code, or a general one: the address does not exist.
_DEAD_WORDS = (
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no mailbox here by that name",
    "mailbox not found",
    "user not found",
    "recipient not found",
    "unknown recipient",
    "unknown mailbox",
    "invalid recipient",
    "invalid mailbox",
    "does not exist",
    "doesn't exist",
    "address rejected: user",
    "account is disabled",
    "account has been disabled",
)


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a bounce says: its kind, the enhanced status code, and the words of the server that refused."""

    kind: Kind
    status: str | None
    diagnostic: str


def read_bounce(message: Message) -> Bounce | None:
    """Return what a message says as a bounce. None: it is none, or tells of a delay, a delivery, an absence."""
    reports = list(_reports(message))
    if reports:
        told = [bounce for fields in reports if (bounce := _of_report(fields)) is not None]
        return min(told, key=lambda bounce: bounce.kind is not Kind.HARD_BOUNCE, default=None)
    if not str(
        message.get("From", "")
    ).strip():  # one of its readers would trip over that, and the others would not be asked
        del message["From"]
        message["From"] = "<>"
    try:
        _, permanent = all_failures(message)
    except Exception:  # its readers of many forms trip over what a stranger has written
        return None
    if not permanent:
        return None
    words = _words(message)
    return _bounce(find_code(words), _line_about(words))


def classify(status: str | None, diagnostic: str) -> Kind:
    """Say whether a failure for good concerns the address (hard), or something else (soft).

    The words decide if there is no code, or a general one (`5.0.0`): servers without enhanced codes get such a one.
    """
    code = find_code(diagnostic) or status
    if code is not None and is_dead(code):
        return Kind.HARD_BOUNCE
    general = code is None or code.startswith("5.0.") or code.startswith("5.1.0")
    said = diagnostic.lower()
    return Kind.HARD_BOUNCE if general and any(words in said for words in _DEAD_WORDS) else Kind.SOFT_BOUNCE


def _reports(message: Message) -> Iterator[Message]:
    """Yield the fields of each recipient of a delivery status notification. The first group is of the message."""
    for part in message.walk():
        if part.get_content_type() == "message/delivery-status" and part.is_multipart():
            groups = cast(list[Message], part.get_payload())
            yield from (group for group in groups if group.get("Action") or group.get("Status"))


def _of_report(fields: Message) -> Bounce | None:
    if str(fields.get("Action", "")).strip().lower() != "failed":
        return None
    status = find_code(str(fields.get("Status", "")))
    _, _, words = str(fields.get("Diagnostic-Code", "")).rpartition(";")
    return _bounce(status, " ".join(words.split()))


def _bounce(status: str | None, diagnostic: str) -> Bounce:
    return Bounce(classify(status, diagnostic), status, diagnostic)


def _words(message: Message) -> str:
    """Return the text of the message, without what it returns of the mail."""
    texts = list[str]()
    for part in message.walk():
        if part.get_content_type() == "message/rfc822":
            break
        if part.get_content_maintype() == "text" or not message.is_multipart():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                texts.append(payload[:_WORDS_READ].decode(errors="replace"))
    return "\n".join(texts)[:_WORDS_READ]


def _line_about(words: str) -> str:
    """Return the line that says most: one with an enhanced code, or else with words of a dead address."""
    lines = [" ".join(line.split()) for line in words.splitlines()]
    for line in lines:
        if find_code(line) is not None:
            return line
    return next((line for line in lines if any(dead in line.lower() for dead in _DEAD_WORDS)), "")
