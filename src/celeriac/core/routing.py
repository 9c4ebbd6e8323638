"""Chooses the list of a queue for a message, by its priority.

Celeriac counts priorities from 0 to 9, higher first. Celery on Redis counts the other way round: 0 is the first, and
the default. kombu has several lists for each queue, by default four. Every worker, stock or not, takes from a list only
when the lists before it are empty. So Celery's number is 9 minus Celeriac's, and a job without a priority goes to the
list of a stock task without one. `docs/decisions/0009-priorities.md` says why.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass

LOWEST, HIGHEST = 0, 9


def check_priority(priority: int) -> None:
    """Raise ValueError unless `priority` is a whole number from 0 to 9."""
    if priority not in range(LOWEST, HIGHEST + 1) or isinstance(priority, bool):
        raise ValueError(f"priority={priority!r}: give a whole number from 0 to 9; higher runs first")


def to_celery(priority: int) -> int:
    """Return Celery's number on Redis for a Celeriac priority."""
    return HIGHEST - priority


def from_celery(priority: int) -> int:
    """Return the Celeriac priority for Celery's number on Redis. As in kombu, a number out of range is clamped."""
    return HIGHEST - max(LOWEST, min(HIGHEST, priority))


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The Celery and kombu settings of an application that route its messages.

    Attributes:
        default_queue: `task_default_queue`.
        default_priority: `task_default_priority`, Celery's number.
        steps: kombu's `priority_steps`: the lowest of Celery's numbers that each list takes.
        separator: kombu's `sep`, between the queue's name and the number in a list's key.
    """

    default_queue: str = "celery"
    default_priority: int = 0
    steps: tuple[int, ...] = (0, 3, 6, 9)
    separator: str = "\x06\x16"

    def list_key(self, queue: str, celery_priority: int) -> str:
        """Return kombu's key of the list for a message."""
        step = self.steps[bisect(self.steps, celery_priority) - 1]
        return f"{queue}{self.separator}{step}" if step else queue
