"""One attempt of an isolated job."""

from __future__ import annotations

from celeriac.engine.isolation.processes import IsolatedCall, processes
from celeriac.engine.loop import JobLoop
from celeriac.engine.runs import AsyncRun


class IsolatedRun(AsyncRun):
    """A job in a process of its own, which a coroutine on the event loop waits for.

    It returns JSON types: the result is validated where it is. To cancel it kills the process, and so does the time
    limit, which begins when the process has begun with the job.
    """

    def __init__(self, call: IsolatedCall, loop: JobLoop) -> None:
        super().__init__(processes().run(call), None, loop)
