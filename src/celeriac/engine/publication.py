"""How a message that Celery publishes gets onto the broker.

Celery's publishing ends in the channel, which by itself just stores the message. Code that publishes a job's next
attempt has more to say: that the job is `retrying`, and why. It says so around the call, and the channel does both in
one step, so that no crash can come between them.
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
