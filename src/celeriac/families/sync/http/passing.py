"""Errors that may pass, and for how long to wait before a request is sent again."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from celeriac.core.clock import now_ms, to_ms
from celeriac.core.retry import Retry
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable
from celeriac.families.sync.http.model import HttpSource

#: Answers that say that another try may help.
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529})
#: Between two tries, at most.
_LONGEST_DELAY_S = 30.0
#: What a server may ask for. A limit cannot be closed for longer.
_LONGEST_PATIENCE_S = 86_400.0


class Passing(Exception):
    """A request has failed in a way that may pass.

    Attributes:
        reason: what happened, without secrets.
        seconds: for how long the server asks to be left alone, if it does.
        is_outage: whether a job of its own may try again later. Else what came is wrong, and the run has failed.
    """

    def __init__(self, reason: str, seconds: float | None = None, *, is_outage: bool = True) -> None:
        self.reason = reason
        self.seconds = seconds
        self.is_outage = is_outage
        super().__init__(reason)


class NotThere(SourceFailed):
    """The API knows nothing at the URL (404), or no more (410). For the children of a parent, that is no error."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds an answer asks us to wait (RFC 9110, section 10.2.3); None if it does not.

    A date is compared with the answer's own `Date`: whose clock is wrong does not matter then.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), _LONGEST_PATIENCE_S)
    moment = moment_of(text)
    if moment is None:
        return None
    own = moment_of(headers.get("Date", ""))
    return min(max(0.0, (moment - (now_ms() if own is None else own)) / 1000), _LONGEST_PATIENCE_S)


def moment_of(date: str) -> int | None:
    """Return the milliseconds since the epoch of a date of HTTP; None if it is none."""
    try:
        return to_ms(parsedate_to_datetime(date)) if date else None
    except (ValueError, TypeError, OverflowError):
        return None


class Tries:
    """The tries of one page."""

    def __init__(self, source: HttpSource) -> None:
        self._policy = Retry(attempts=source.attempts, backoff=source.backoff, max_delay=_LONGEST_DELAY_S)
        self._failed = 0

    def forget(self) -> None:
        """Begin to count anew: something has come."""
        self._failed = 0

    def delay_after(self, fault: Passing) -> float:
        """Return the seconds until the next try.

        Raises:
            SourceUnavailable: that was the last one. A job may try again later.
            SourceFailed: that was the last one, and what comes is wrong.
        """
        self._failed += 1
        delay = self._policy.delay_after(fault, self._failed)
        if delay is None:
            tries = f", after {self._failed} tries" if self._failed > 1 else ""
            raise (SourceUnavailable if fault.is_outage else SourceFailed)(f"{fault.reason}{tries}")
        return delay
