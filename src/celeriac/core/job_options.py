"""The options of a job, which its enqueuer can override."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from celeriac.core.errors import ConfigurationError
from celeriac.core.retry import NO_RETRY, Retry
from celeriac.core.routing import check_priority

#: Time after a job's own timeout before a pool of processes ends the job's process.
HARD_LIMIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of a job, which its enqueuer can override.

    Attributes:
        queue: the queue's name; None means the application's default queue.
        priority: 0 to 9, higher first; None means the application's default, which is the highest unless configured.
        retry: the policy after a failed attempt.
        timeout: longest time of one attempt in seconds; None means no limit.
        exposed: whether callers of the job API may submit the job.
        isolate: whether the job runs in its own process, which is killed to stop it.
        on_cancelled: is called with the id of a job that was cancelled, by whoever has ended it.
        log_result: whether logs and events have what it returned.
    """

    queue: str | None = None
    priority: int | None = None
    retry: Retry = NO_RETRY
    timeout: float | None = None
    exposed: bool = True
    isolate: bool = False
    on_cancelled: Callable[[str], Awaitable[object]] | None = None
    log_result: bool = True

    @property
    def hard_limit(self) -> float | None:
        """Seconds after which the pool ends the process that runs an attempt; None means no limit.

        An isolated job has none: the pool's process starts another for it, and ends that one in time.
        """
        return self.timeout + HARD_LIMIT_GRACE_S if self.timeout and not self.isolate else None

    def __post_init__(self) -> None:
        if self.timeout is not None and self.timeout <= 0:
            raise ConfigurationError(f"timeout={self.timeout}: seconds must be positive, or None for no limit")
        if self.queue is not None and (not self.queue or len(self.queue) > 200):
            raise ConfigurationError(f"queue={self.queue!r}: a queue's name has 1 to 200 characters")
        if self.priority is not None:
            try:
                check_priority(self.priority)
            except ValueError as error:
                raise ConfigurationError(str(error)) from None
