"""What follows from an answer: whether the message was delivered, is tried again, or ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from celeriac.families.webhooks.outcomes import Failure, Reply

#: Seconds for which a receiver may put a message off with one answer, at most. The usual schedule's longest delay.
LONGEST_RETRY_AFTER_S = 86_400.0

VerdictKind = Literal["delivered", "retry", "gone", "aborted"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one try.

    Attributes:
        kind: `delivered`; `retry`: try again; `gone`: the endpoint takes no messages any more; `aborted`: the receiver
            does not want this message.
        after: seconds before which the receiver wants no other try (`Retry-After`); None: it did not say.
        disables: whether the endpoint is to be disabled. A receiver can ask for it with a message that it took.
        why: the same for people.
    """

    kind: VerdictKind
    after: float | None = None
    disables: bool = False
    why: str = ""


def judge(outcome: Reply | Failure, *, now: datetime | None = None) -> Verdict:
    """Return what follows from `outcome`: 2xx is delivered, 410 disables, everything else is tried again.

    The receiver may say more with the header `webhook-delivery`: `disable`, or `abort-message`, which ends the tries
    of a message that was not taken.
    """
    if isinstance(outcome, Failure):
        return Verdict("retry", why=outcome.text)
    status = outcome.status
    wish = outcome.headers.get("webhook-delivery", "").strip().lower()
    disables = wish == "disable"
    if 200 <= status < 300:
        return Verdict("delivered", disables=disables, why=f"status {status}")
    if status == 410:
        return Verdict("gone", disables=True, why="status 410: the receiver is gone")
    if disables:
        return Verdict("gone", disables=True, why=f"status {status}, and the receiver asked to be disabled")
    if wish == "abort-message":
        return Verdict("aborted", why=f"status {status}, and the receiver does not want the message")
    return Verdict("retry", read_retry_after(outcome.headers.get("retry-after", ""), now), why=f"status {status}")


def read_retry_after(value: str, now: datetime | None = None) -> float | None:
    """Return the seconds that a header `Retry-After` asks for (RFC 9110, 10.2.3), at most a day. None: it is none."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:12]), LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:  # `-0000`, or none at all: HTTP's dates are always UTC
        at = at.replace(tzinfo=UTC)
    seconds = (at - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
