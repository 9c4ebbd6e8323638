"""What a running job knows of itself, and may say about itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from celeriac.core.errors import JobInterrupted
from celeriac.core.injected import Injected
from celeriac.core.records import Progress
from celeriac.core.spec import Call


@dataclass(frozen=True, slots=True)
class Children:
    """How the children of a job have ended, by count."""

    total: int
    succeeded: int
    failed: int
    cancelled: int


class JobSuspended(BaseException):
    """Leaves a job that has fanned out and waits for its children. Raised and caught by Celeriac only."""


def report_to_nobody(job_id: str, progress: Progress) -> None:
    """There is no record to write to."""


async def _spawn_nothing(calls: list[Call[Any]]) -> None:
    raise RuntimeError(
        "a job fans out, which it can in a worker only; call it with `JobContext(children=Children(...))` to go on "
        "behind the fan-out, or run it with `celeriac.testing`"
    )


@dataclass(slots=True, kw_only=True)
class JobContext(Injected):
    """Handed to a job that has a parameter of this type. `JobContext()` is that of a direct call, in a test say.

    Attributes:
        id: the job's id.
        task: the task's name.
        attempt: which attempt this is, counted from 1.
        attempts: how many attempts the job's retry policy allows.
        parent_id: the job that fanned out to this one, if any.
        children: how the children have ended, once a job that fanned out runs again; else None.
    """

    id: str = "direct-call"
    task: str = ""
    attempt: int = 1
    attempts: int = 1
    parent_id: str | None = None
    children: Children | None = None
    report: Callable[[str, Progress], None] = report_to_nobody
    spawn: Callable[[list[Call[Any]]], Awaitable[None]] = _spawn_nothing
    cancel_requested: Callable[[], bool] = lambda: False
    _has_fanned_out: bool = field(default=False, init=False, repr=False)

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now is final."""
        return self.attempt >= self.attempts

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the job is. Never blocks, from `async def` and `def` jobs alike.

        Reports are coalesced: of many in a short time the newest is published, and the last one always is.
        """
        self.report(self.id, Progress(done=done, total=total, message=message))

    def parent_progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the parent is; for children that know it, from a ledger say. Nothing without a parent."""
        if self.parent_id is not None:
            self.report(self.parent_id, Progress(done=done, total=total, message=message))

    def raise_if_cancelled(self) -> None:
        """Stop here if the job was cancelled. For `def` jobs that spend long in code that cannot be interrupted.

        Raises:
            JobInterrupted: cancellation was asked for.
        """
        if self.cancel_requested():
            raise JobInterrupted(f"job {self.id} was cancelled")

    async def fan_out(self, calls: Iterable[Call[Any]]) -> Children:
        """Run `calls` as child jobs and go on when all have ended, without holding a worker meanwhile.

        The first time, the children are enqueued in one step and the job leaves its worker, still `running`.
        When the last child has ended, in whatever state, the job's function is called again from its start,
        and this call returns the counts. So what stands before it runs twice and must be safe to repeat.

        Raises:
            RuntimeError: the job has fanned out already in this run.
        """
        if self._has_fanned_out:
            raise RuntimeError(f"job {self.id} fans out a second time; gather the calls and fan out once")
        self._has_fanned_out = True
        if self.children is not None:
            return self.children
        children = list(calls)
        if not children:
            return Children(total=0, succeeded=0, failed=0, cancelled=0)
        await self.spawn(children)
        raise JobSuspended
