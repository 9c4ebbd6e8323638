"""Connects the code around Celery's publishing with the channel at its end.

Downward: by itself, the channel just stores a message. Code that publishes a job's next attempt also has to record that
the job is `retrying`, and why. It wraps the call in `stored_by`, and the channel does both in one step, so that no
crash can come between.

Upward: routers, the task's options and signal handlers change what Celery publishes. Code that records the job wraps
the call in `watched`, and learns what was published.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celeriac.store.jobs.transitions import Publication
from celeriac.store.scripts.script import ScriptCall

#: Makes the script call that stores a message.
Storing = Callable[[Publication], ScriptCall[Any]]

_storing: ContextVar[tuple[str, Storing] | None] = ContextVar("celeriac_storing", default=None)


@contextmanager
def stored_by(storing: Storing, *, job_id: str) -> Generator[None]:
    """Store the job's messages that are published inside the `with` block by the call that `storing` makes."""
    token = _storing.set((job_id, storing))
    try:
        yield
    finally:
        _storing.reset(token)


def storing_of(job_id: str) -> Storing | None:
    """Return the function that `stored_by` set for messages of that job, or None."""
    current = _storing.get()
    return current[1] if current is not None and current[0] == job_id else None


class Published:
    """A message that Celery publishes.

    Attributes:
        headers: the headers as they were sent.
        properties: the properties as they were sent.
        queue: the queue that the channel put it into. Until then, the one that Celery's router chose.
    """

    __slots__ = ("headers", "properties", "queue", "task_id")

    def __init__(self, task_id: str) -> None:
        self.task_id, self.queue = task_id, ""
        self.headers: dict[str, Any] = {}
        self.properties: dict[str, Any] = {}


_watched: ContextVar[Published | None] = ContextVar("celeriac_published", default=None)


@contextmanager
def watched(task_id: str) -> Generator[Published]:
    """Observe what is published for the task inside the `with` block."""
    published = Published(task_id)
    token = _watched.set(published)
    try:
        yield published
    finally:
        _watched.reset(token)


def watched_for(task_id: str) -> Published | None:
    """Return the observer that `watched` set for that task, or None."""
    published = _watched.get()
    return published if published is not None and published.task_id == task_id else None
