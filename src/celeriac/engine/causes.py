"""Why messages are rejected.

Celery's consumer and the requests it makes know that; the channel, which has to act on it, is told the receipt alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from kombu.utils.encoding import safe_repr

from celeriac.core.errors import InvalidMessage
from celeriac.store.jobs import Transition

#: Characters that are kept of an error.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message is rejected.

    Attributes:
        text: for people.
        lost: whether the process that ran its task vanished.
        end: how the job ends that the message runs, if that is to be recorded together with the dead letter.
    """

    text: str
    lost: bool = False
    end: Transition | None = None

    @classmethod
    def of(cls, reason: object, *, lost: bool = False, end: Transition | None = None) -> Cause:
        """The cause as an error, or whatever was given as the reason, tells it."""
        if isinstance(reason, InvalidMessage):
            text = str(reason)
        else:
            text = reason if isinstance(reason, str) else "rejected" if reason is None else safe_repr(reason)
        text = text[:_LONGEST]
        if not text.isprintable():  # a stranger may have chosen it, and it is shown in terminals and logs
            text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)[:_LONGEST]
        return cls(text, lost, end)


_UNKNOWN = Cause("rejected")
_noted: dict[str, Cause] = {}


def note(receipt: str, cause: Cause) -> None:
    """Remember why the message that is held under `receipt` is about to be rejected."""
    _noted[receipt] = cause


def take_note(receipt: str) -> Cause:
    """Why the message is rejected, as far as anyone said; it is forgotten then."""
    return _noted.pop(receipt, _UNKNOWN)
