"""Where a message goes: which list of its queue, by its priority.

Celeriac counts priorities from 0 to 9, higher first. Celery on Redis counts the other way round: 0 is the first, and
what a message without priority has. kombu keeps some lists for each queue, by default four, and every worker, stock or
not, takes from the next list only when the ones before are empty. So a Celeriac priority is Celery's counted from 9
downwards, and a job without one goes where a stock task without one goes. Why: `docs/decisions/0009-priorities.md`.
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
    """Celery's number for a Celeriac priority, on Redis."""
    return HIGHEST - priority


def from_celery(priority: int) -> int:
    """The Celeriac priority for Celery's number, on Redis. As in kombu, what is out of range counts as its end."""
    return HIGHEST - max(LOWEST, min(HIGHEST, priority))


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """An application's settings of Celery and kombu that say where its messages go.

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
        """The key of the list that takes a message, as kombu names it."""
        step = self.steps[bisect(self.steps, celery_priority) - 1]
        return f"{queue}{self.separator}{step}" if step else queue
