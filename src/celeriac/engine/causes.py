"""Passes the cause of a rejection on to the channel.

Celery's consumer and its requests know the cause. The channel needs it for the dead letter, but Celery tells it only
the receipt. So the former note the cause by receipt, and the channel takes the note.
"""

from __future__ import annotations

from dataclasses import dataclass

from kombu.utils.encoding import safe_repr

from celeriac.core.errors import InvalidMessage
from celeriac.store.jobs.transitions import Transition

#: The most characters of an error's text.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message is rejected.

    Attributes:
        text: the cause, for people.
        lost: whether the process that ran the task vanished.
        end: the end of the message's job, if it is to be recorded together with the dead letter.
    """

    text: str
    lost: bool = False
    end: Transition | None = None

    @classmethod
    def of(cls, reason: object, *, lost: bool = False, end: Transition | None = None) -> Cause:
        """Make a cause from an error, a text, or anything else that was given as the reason."""
        if isinstance(reason, InvalidMessage):
            text = str(reason)
        else:
            text = reason if isinstance(reason, str) else "rejected" if reason is None else safe_repr(reason)
        text = text[:_LONGEST]
        if not text.isprintable():  # an attacker may have written it, and it is shown in terminals and logs
            text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)[:_LONGEST]
        return cls(text, lost, end)


_UNKNOWN = Cause("rejected")
_noted: dict[str, Cause] = {}


def note(receipt: str, cause: Cause) -> None:
    """Note why the message that is held under `receipt` is about to be rejected."""
    _noted[receipt] = cause


def take_note(receipt: str) -> Cause:
    """Take the note why the message is rejected, or a general cause if there is none."""
    return _noted.pop(receipt, _UNKNOWN)
