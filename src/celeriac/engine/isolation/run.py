"""Runs one attempt of an isolated job."""

from __future__ import annotations

from celeriac.engine.isolation.processes import IsolatedCall, processes
from celeriac.engine.loop import JobLoop
from celeriac.engine.runs import AsyncRun


class IsolatedRun(AsyncRun):
    """A job in a process of its own, which a coroutine on the event loop waits for.

    It returns JSON types, because the process has validated the result. Cancelling kills the process. So does the time
    limit, which begins after the process has been found or started.
    """

    def __init__(self, call: IsolatedCall, loop: JobLoop) -> None:
        super().__init__(processes().run(call), None, loop)
