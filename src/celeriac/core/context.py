"""The context of a running job: what it knows about itself, and how it reports progress and fans out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celeriac.core.errors import JobInterrupted
from celeriac.core.injected import Injected
from celeriac.core.records import Progress
from celeriac.core.spec import Call

if TYPE_CHECKING:
    from celeriac.core.artifact import ArtifactFile


@dataclass(frozen=True, slots=True)
class Children:
    """The numbers of a job's children, by how they have ended."""

    total: int
    succeeded: int
    failed: int
    cancelled: int


class JobSuspended(BaseException):
    """Ends the run of a job that waits for its children. Only Celeriac raises and catches it."""


def report_to_nobody(job_id: str, progress: Progress) -> None:
    """Drop the progress of a job that has no record."""


async def _spawn_nothing(calls: list[Call[Any]]) -> None:
    raise RuntimeError(
        "only a job in a worker can fan out; call it with `JobContext(children=Children(...))` to test what follows "
        "the fan-out, or run it with `celeriac.testing`"
    )


def _keep_nothing(job_id: str, name: str) -> ArtifactFile:
    raise RuntimeError(
        f"job {job_id} writes the artifact {name!r}, which works only in a worker or with `celeriac.testing`"
    )


@dataclass(slots=True, kw_only=True)
class JobContext(Injected):
    """The context that a job gets in a parameter of this type. Pass `JobContext()` in a direct call, as in a test.

    Attributes:
        id: the job's id.
        task: the task's name.
        attempt: the number of this attempt, from 1.
        attempts: the number of attempts that the job's retry policy allows.
        parent_id: the id of the job that fanned out to this one, if any.
        redelivered: whether a worker that was lost may have begun this attempt before.
        children: how the children have ended, when a job runs again after its fan-out; else None.
    """

    id: str = "direct-call"
    task: str = ""
    attempt: int = 1
    attempts: int = 1
    parent_id: str | None = None
    redelivered: bool = False
    children: Children | None = None
    report: Callable[[str, Progress], None] = report_to_nobody
    spawn: Callable[[list[Call[Any]]], Awaitable[None]] = _spawn_nothing
    cancel_requested: Callable[[], bool] = lambda: False
    open_artifact: Callable[[str, str], ArtifactFile] = _keep_nothing
    _has_fanned_out: bool = field(default=False, init=False, repr=False)

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now is final."""
        return self.attempt >= self.attempts

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the job is. `async def` and `def` jobs may call this. It never blocks.

        If a job reports often, only the newest report of each short time is published. The last one always is.
        """
        self.report(self.id, Progress(done=done, total=total, message=message))

    def parent_progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the parent is, for children that know this. Do nothing without a parent."""
        if self.parent_id is not None:
            self.report(self.parent_id, Progress(done=done, total=total, message=message))

    def artifact(self, name: str) -> ArtifactFile:
        """Make a file that callers can fetch at `/jobs/{id}/artifacts/{name}`. Write it in a block:

            async with job.artifact("report.pdf") as file:  # in a `def` job: `with …`, and no `await`
                await file.write(piece)

        It appears when the block ends, complete, and not at all if the block ends with an exception. A file of the
        same name, of an attempt before say, is replaced.

        Raises, when the block begins:
            InvalidFileName: the name cannot be a file's.
            TooManyFiles: the job has made as many as it may.
            NotInstalled: the extra `celeriac[storage]` is not installed.
        """
        return self.open_artifact(self.id, name)

    def raise_if_cancelled(self) -> None:
        """End the job here if it was cancelled. Call this in `def` jobs, between long calls that cannot be interrupted.

        Raises:
            JobInterrupted: the job was cancelled.
        """
        if self.cancel_requested():
            raise JobInterrupted(f"job {self.id} was cancelled")

    async def fan_out(self, calls: Iterable[Call[Any]]) -> Children:
        """Run `calls` as child jobs, and return when all have ended. The job takes no room in a worker meanwhile.

        The first call enqueues all children in one step, and ends this run of the function. The job stays `running`.
        When the last child has ended, in whatever state, a worker calls the function again from its start. Then this
        call returns the counts. So the code before it runs twice, and must be safe to repeat.

        Raises:
            RuntimeError: the job has fanned out already in this run.
        """
        if self._has_fanned_out:
            raise RuntimeError(f"job {self.id} fans out a second time; fan out once, with all calls")
        self._has_fanned_out = True
        if self.children is not None:
            return self.children
        children = list(calls)
        if not children:
            return Children(total=0, succeeded=0, failed=0, cancelled=0)
        await self.spawn(children)
        raise JobSuspended
