"""The error tree: every error Celeriac raises on purpose, in one place.

    CeleriacError
    ├── ConfigurationError          a setting or an option is wrong; the start stops
    ├── InvalidJobDefinition        a function cannot be a job; raised where it is decorated
    ├── BrokerUnavailable           the broker did not answer in time; nothing is known to be stored
    ├── JobRefused                  the request cannot be accepted as it is
    │   ├── InvalidArguments        the arguments do not fit the job's signature
    │   ├── UnknownTask             no job of that name is registered
    │   ├── UnknownJob              no job with that id was ever enqueued, or its record has expired
    │   ├── IdempotencyConflict     the key was used before, with another request
    │   └── WrongState              the job's state does not allow the operation
    ├── JobUnsuccessful             raised by `JobHandle.result()`
    │   ├── JobFailed               the job raised, ran out of attempts, or exceeded its time limit
    │   └── JobCancelled            the job was cancelled
    ├── ResultTimeout               the job did not finish within the time given to `result()`
    └── control flow inside a job
        ├── RetryAfter              raise it to ask for another attempt after a delay of your choice
        ├── JobInterrupted          raised inside a `def` job that is cancelled
        └── JobTimedOut             raised inside a job that exceeds its time limit
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CeleriacError(Exception):
    """Base of every error that Celeriac raises on purpose."""


class ConfigurationError(CeleriacError):
    """A setting or option is wrong. The message names the option, the value and what to change."""


class InvalidJobDefinition(CeleriacError, TypeError):
    """The decorated function cannot become a job. Raised at import, never at run time."""


class BrokerUnavailable(CeleriacError):
    """The broker did not answer within the deadline; the operation may or may not have happened there."""


class JobRefused(CeleriacError):
    """Base of the errors that tell a caller what to change in the request."""


class InvalidArguments(JobRefused, ValueError):
    """The arguments do not fit the job's signature.

    `errors` has one dict per fault with `loc` (path to the value), `msg` and `type`.
    """

    def __init__(self, task: str, errors: Sequence[dict[str, Any]]) -> None:
        self.task = task
        self.errors = list(errors)
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in self.errors)
        super().__init__(f"invalid arguments for job {task!r}: {faults}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task, self.errors)


class UnknownTask(JobRefused, LookupError):
    """No job of that name is registered in this application."""

    def __init__(self, task: str) -> None:
        self.task = task
        super().__init__(f"no job named {task!r} is registered")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task,)


class UnknownJob(JobRefused, LookupError):
    """No job with that id was ever enqueued, or its record has expired."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no job with id {job_id[:64]!r} is known")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job_id,)


class IdempotencyConflict(JobRefused):
    """The idempotency key was used before with another task or other arguments."""


class WrongState(JobRefused):
    """The job's state does not allow the operation, such as cancelling a job that has finished."""


class JobUnsuccessful(CeleriacError):
    """Base of what `JobHandle.result()` raises when the job ended without a result."""

    def __init__(self, job_id: str, message: str) -> None:
        self.job_id = job_id
        self.message = message
        super().__init__(f"job {job_id} {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job_id, self.message)


class JobFailed(JobUnsuccessful):
    """The job raised, ran out of attempts, or exceeded its time limit. `message` carries the cause."""


class JobCancelled(JobUnsuccessful):
    """The job was cancelled before it produced a result."""


class ResultTimeout(CeleriacError, TimeoutError):
    """The job did not finish within the time given. It goes on; ask again later."""


class RetryAfter(CeleriacError):
    """Raise inside a job to ask for another attempt after `seconds`, within the job's `Retry.attempts`."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        self.seconds = seconds
        self.reason = reason
        super().__init__(reason or f"asked to be retried after {seconds:g} s")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason)


class JobInterrupted(CeleriacError):
    """Raised inside a running `def` job when it is cancelled; `async def` jobs get `CancelledError`."""


class JobTimedOut(CeleriacError, TimeoutError):
    """Raised inside a job that runs longer than its `timeout`."""
