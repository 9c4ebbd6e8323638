"""How a message that Celery publishes gets onto the broker.

Celery's publishing ends in the channel, which by itself just stores the message. Code that publishes a job's next
attempt has more to say: that the job is `retrying`, and why. It says so around the call, and the channel does both in
one step, so that no crash can come between them.

The other way round, who records a job that Celery publishes is told what was published: routers, the task's options,
its message's headers and signal handlers have a say in that, so that the call alone does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celeriac.store.jobs import Publication
from celeriac.store.script import ScriptCall

#: Makes the script call that stores a message.
Storing = Callable[[Publication], ScriptCall[Any]]

_storing: ContextVar[tuple[str, Storing] | None] = ContextVar("celeriac_storing", default=None)


@contextmanager
def stored_by(storing: Storing, *, job_id: str) -> Generator[None]:
    """Have the messages of that job that are published inside stored by the call `storing` makes of them."""
    token = _storing.set((job_id, storing))
    try:
        yield
    finally:
        _storing.reset(token)


def storing_of(job_id: str) -> Storing | None:
    """What the code around says about messages of that job; None if nothing."""
    current = _storing.get()
    return current[1] if current is not None and current[0] == job_id else None


class Published:
    """What is known of a message that is being published.

    Attributes:
        headers: of the message, as they were when it was sent.
        properties: the same of its properties.
        queue: where it went. What Celery's router says, unless the channel has told.
    """

    __slots__ = ("headers", "properties", "queue", "task_id")

    def __init__(self, task_id: str) -> None:
        self.task_id, self.queue = task_id, ""
        self.headers: dict[str, Any] = {}
        self.properties: dict[str, Any] = {}


_watched: ContextVar[Published | None] = ContextVar("celeriac_published", default=None)


@contextmanager
def watched(task_id: str) -> Generator[Published]:
    """Tells what is published inside for that task."""
    published = Published(task_id)
    token = _watched.set(published)
    try:
        yield published
    finally:
        _watched.reset(token)


def watched_for(task_id: str) -> Published | None:
    """Where to say what is published for that task; None if nobody asks."""
    published = _watched.get()
    return published if published is not None and published.task_id == task_id else None
