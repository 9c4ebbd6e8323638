"""The error tree: every error Celeriac raises on purpose, in one place.

CeleriacError
├── ConfigurationError          a setting or an option is wrong; the start stops
│   ├── ResourceBusy            a port or the data directory is in use by another process
│   ├── CommandLineWrong        an option of the command line cannot be used as it was given
│   ├── NotInstalled            an extra is not installed; the message names it
│   ├── SchemaTooNew            a newer version of a job family has migrated the database
│   └── ApplicationNotLoaded    the application cannot be imported, or is not one
├── InstallationBroken          files of the package come from different versions; the start stops
├── StartFailed                 a process of the stack ended again and again before it was ready
│   └── StartRefused            a process of the stack ended at once, and said why
├── InvalidJobDefinition        a function cannot be a job; raised where it is decorated
├── BrokerUnavailable           the broker did not answer in time; nothing is known to be stored
├── DatabaseUnavailable         the database cannot be reached, or stayed locked
├── JobRefused                  the request cannot be accepted as it is
│   ├── InvalidArguments        the arguments do not fit the job's signature
│   ├── UnknownTask             no job of that name is registered
│   ├── UnknownJob              no job with that id was ever enqueued, or its record has expired
│   ├── IdempotencyConflict     the key was used before, with another request
│   ├── JobExists               the id was given to another job before
│   ├── SubmissionInvalid       what was submitted to a job family has faults, each with its place
│   ├── FamilyAbsent            a job family is switched off, or not installed
│   └── WrongState              the job's state does not allow the operation
├── JobUnsuccessful             raised by `JobHandle.result()`
│   ├── JobFailed               the job raised, ran out of attempts, or exceeded its time limit
│   └── JobCancelled            the job was cancelled
├── ResultTimeout               the job did not finish within the time given to `result()`
├── RetryAfter                  raised by a job to ask for another attempt after a delay of its choice
└── how a job may fail, apart from its own errors; seen in its record
    ├── JobTimedOut             it exceeded its time limit
    ├── InvalidResult           what it returned does not fit its annotation
    ├── InvalidMessage          its message cannot be read, or has not the form of a task's; see `celeriac dead`
    ├── OutcomeNotStored        what came of it cannot be stored; see `celeriac dead`
    ├── JobAborted              it raised what would end its process or event loop, `SystemExit` say
    └── JobCrashed              it was isolated, and its process ended before it

BaseException
└── JobInterrupted              raised inside a `def` job that is cancelled
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CeleriacError(Exception):
    """Base of every error that Celeriac raises on purpose."""


class ConfigurationError(CeleriacError):
    """A setting or option is wrong. The message names the option, the value and what to change."""


class ResourceBusy(ConfigurationError):
    """A port or the data directory is in use by another process. The message says what to choose instead."""


class CommandLineWrong(ConfigurationError):
    """An option of the command line cannot be used as it was given. The message says what to do instead."""


class NotInstalled(ConfigurationError):
    """An extra of the distribution is not installed. The message says what needs it, and how to install it."""


class SchemaTooNew(ConfigurationError):
    """A newer version of a job family has migrated the database. The message names the revision that is not known."""


class ApplicationNotLoaded(ConfigurationError):
    """The application cannot be imported, or is not one. `traceback` is the user's part of the import's, if any."""

    def __init__(self, message: str, traceback: str = "") -> None:
        self.traceback = traceback
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.traceback)


class InstallationBroken(CeleriacError):
    """Files of the installed package do not belong together. The message names the file, and what differs."""


class StartFailed(CeleriacError):
    """A process of the stack ended again and again before it was ready. `code` is its last exit code, if it had one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.code)


class StartRefused(StartFailed):
    """A process of the stack ended at once, for a reason that stays until it is mended, and said why."""

    def __init__(self, message: str, code: int, traceback: str = "") -> None:
        self.traceback = traceback
        super().__init__(message, code)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.code, self.traceback)


class InvalidJobDefinition(CeleriacError, TypeError):
    """The decorated function cannot become a job. Raised at import, never at run time."""


class BrokerUnavailable(CeleriacError):
    """The broker did not answer within the deadline; the operation may or may not have happened there."""


class DatabaseUnavailable(CeleriacError):
    """The database cannot be reached, or an SQLite file stayed locked. `url` has its password masked."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"the database {url} cannot be used: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url, self.reason)


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


class JobExists(JobRefused):
    """The id was given to another job before, whose record is still kept."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is a job with id {job_id!r} already; leave the id out, or choose another")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job_id,)


class SubmissionInvalid(JobRefused, ValueError):
    """What was submitted has faults, which `faults` names: one dict per fault, as the API shows it."""

    def __init__(self, message: str, faults: Sequence[dict[str, Any]] = ()) -> None:
        self.faults = list(faults)
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.faults)


class FamilyAbsent(JobRefused, LookupError):
    """A job family is switched off or not installed here. The message says what to do about it."""


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


class JobInterrupted(BaseException):
    """Raised inside a running `def` job when it is cancelled; `async def` jobs get `CancelledError`.

    Like that one it is no `Exception`, so that a job's own error handling does not swallow it.
    """


class JobTimedOut(CeleriacError, TimeoutError):
    """The job ran longer than its `timeout`, and was stopped."""


class InvalidResult(CeleriacError, TypeError):
    """What the job returned does not fit its annotation, or cannot be sent as JSON. Never retried: the work is done."""


class InvalidMessage(CeleriacError, ValueError):
    """A task's message cannot be read, or is not a valid one. `send_task` raises it; a worker keeps a dead letter."""


class OutcomeNotStored(CeleriacError):
    """What came of the job could not be stored: it has failed, and its message is a dead letter with the cause."""


class JobAborted(CeleriacError):
    """The job raised what no job may, `SystemExit` or a `Retry` of its own say, or cancelled itself: it has failed."""


class JobCrashed(CeleriacError):
    """The process that ran the isolated job ended before it: it counts as any other failure, the worker goes on."""
