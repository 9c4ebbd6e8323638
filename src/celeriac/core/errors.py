"""The tree of all errors that Celeriac raises on purpose.

CeleriacError
├── ConfigurationError          a setting or an option is wrong; the start stops
│   ├── ResourceBusy            a port or the data directory is in use by another process
│   ├── CommandLineWrong        an option of the command line cannot be used
│   ├── NotInstalled            an extra is not installed; the message names it
│   ├── SchemaTooNew            a newer version of a job family has migrated the database
│   └── ApplicationNotLoaded    the application cannot be imported, or is not one
├── InstallationBroken          files of the package come from different versions; the start stops
├── StartFailed                 a process of the stack ended again and again before it was ready
│   └── StartRefused            a process of the stack ended at once, and said why
├── InvalidJobDefinition        a function cannot be a job; raised where it is decorated
├── BrokerUnavailable           the broker did not answer in time; nothing is known to be stored
├── DatabaseUnavailable         the database cannot be reached, or stayed locked
│   ├── DatabaseRefused         it refuses us, and will go on to: a wrong password, or no such database
│   └── LockTimedOut            somebody else has locked a row or a table for too long; nothing was changed
├── LeaseLost                   another worker has taken over; this one commits nothing more
├── StorageUnavailable          the storage of files did not answer, or refused the operation
├── StorageFull                 there is no room for a file, or only the reserve is left
├── FileTooLarge                a file is larger than it may be
├── TooManyFiles                a job or a caller keeps as many files as it may
├── JobRefused                  the request cannot be accepted as it is
│   ├── InvalidArguments        the arguments do not fit the job's signature
│   ├── UnknownTask             no job of that name is registered
│   ├── UnknownJob              no job with that id was ever enqueued, or its record has expired
│   ├── IdempotencyConflict     the key was used before, with another request
│   ├── JobExists               the id was given to another job before
│   ├── SubmissionInvalid       a submission to a job family has faults, each with its place
│   ├── FamilyAbsent            a job family is switched off, or not installed
│   ├── UnknownConnection       no setting names a database of that name
│   ├── InvalidFileName         the name cannot be a file's name everywhere
│   ├── UnknownArtifact         the job has made no file of that name, or it has expired
│   ├── UnknownUpload           no upload with that id is kept
│   ├── OffsetMismatch          the upload goes on at another offset
│   ├── UploadIncomplete        an upload cannot be read before all of it has arrived
│   ├── ChecksumMismatch        an upload arrived changed
│   ├── LinkInvalid             the link to a file was changed, or has expired
│   └── WrongState              the job's state does not allow the operation
├── JobUnsuccessful             raised by `JobHandle.result()`
│   ├── JobFailed               the job raised, ran out of attempts, or exceeded its time limit
│   └── JobCancelled            the job was cancelled
├── ResultTimeout               the job did not finish within the time given to `result()`
├── RetryAfter                  raised by a job to ask for another attempt after a delay of its choice
├── RunLater                    raised by a job that cannot begin yet, to be run again; this is no attempt
└── how a job may fail, apart from its own errors; seen in its record
    ├── JobTimedOut             it exceeded its time limit
    ├── InvalidResult           its result does not fit its annotation
    ├── InvalidMessage          its message cannot be read, or is not a task's; see `celeriac dead`
    ├── OutcomeNotStored        its outcome cannot be stored; see `celeriac dead`
    ├── JobAborted              it raised an exception that would end its process, such as `SystemExit`
    └── JobCrashed              it was isolated, and its process ended too early

BaseException
└── JobInterrupted              raised inside a `def` job that is cancelled
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celeriac.core.faults import sentence


class CeleriacError(Exception):
    """Base of every error that Celeriac raises on purpose."""


class ConfigurationError(CeleriacError):
    """A setting or option is wrong. The message names the option, the value and what to change."""


class ResourceBusy(ConfigurationError):
    """A port or the data directory is in use by another process. The message says what to choose instead."""


class CommandLineWrong(ConfigurationError):
    """An option of the command line cannot be used. The message says what to do instead."""


class NotInstalled(ConfigurationError):
    """An extra of the distribution is not installed. The message says what needs it, and how to install it."""


class SchemaTooNew(ConfigurationError):
    """A newer version of a job family has migrated the database. The message names the unknown revision."""


class ApplicationNotLoaded(ConfigurationError):
    """The application cannot be imported, or is not one. `traceback` has the frames of the user's code, if any."""

    def __init__(self, message: str, traceback: str = "") -> None:
        self.traceback = traceback
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.traceback)


class InstallationBroken(CeleriacError):
    """Files of the installed package come from different versions. The message names the file and the difference."""


class StartFailed(CeleriacError):
    """A process of the stack ended again and again before it was ready. `code` is its last exit code, if any."""

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.code)


class StartRefused(StartFailed):
    """A process of the stack ended at once, and said why. A restart would not help."""

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


class DatabaseRefused(DatabaseUnavailable):
    """The database refuses us, and will go on to: a wrong password, a missing privilege, or no such database."""


class LockTimedOut(DatabaseUnavailable):
    """Somebody else has locked a row or a table for too long. The transaction was rolled back."""


class LeaseLost(CeleriacError):
    """Another worker has taken over what this one worked on. This one commits nothing more."""


class StorageUnavailable(CeleriacError):
    """The storage of files did not answer, or refused the operation. `url` has no credentials."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"the storage {url} cannot be used: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url, self.reason)


class StorageFull(CeleriacError):
    """There is no room for the file, or only the reserve is left. The message says where."""


class FileTooLarge(CeleriacError, ValueError):
    """The file is larger than it may be. Nothing of it was kept."""


class TooManyFiles(CeleriacError):
    """The job, or the caller, keeps as many files as it may."""


class JobRefused(CeleriacError):
    """Base of errors that tell a caller what to change in the request."""


class InvalidArguments(JobRefused, ValueError):
    """The arguments do not fit the job's signature.

    `errors` has one dict per fault with `loc` (path to the value), `msg` and `type`.
    """

    def __init__(self, task: str, errors: Sequence[dict[str, Any]]) -> None:
        self.task = task
        self.errors = list(errors)
        super().__init__(f"invalid arguments for job {task!r}: {sentence(self.errors, 'arguments')}")

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


class UnknownConnection(JobRefused):
    """No setting names a database of that name. The message names the setting, and those that there are."""


class InvalidFileName(JobRefused, ValueError):
    """The name cannot be a file's name everywhere. The message says why."""


class UnknownArtifact(JobRefused, LookupError):
    """The job has made no file of that name, or its time is over."""

    def __init__(self, job_id: str, name: str) -> None:
        self.job_id = job_id
        self.name = name
        super().__init__(f"job {job_id[:64]!r} has no artifact {name[:80]!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job_id, self.name)


class UnknownUpload(JobRefused, LookupError):
    """There is no upload with that id, or its time is over."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__(f"no upload with id {upload_id[:64]!r} is known")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.upload_id,)


class OffsetMismatch(JobRefused):
    """The upload goes on at another offset: after the `offset` bytes that have arrived."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(f"the upload goes on at offset {offset}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.offset,)


class UploadIncomplete(JobRefused):
    """The upload cannot be read yet: `offset` of its `size` bytes have arrived."""

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        super().__init__(f"the upload is incomplete: {offset:,} of {size:,} bytes")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.offset, self.size)


class ChecksumMismatch(JobRefused, ValueError):
    """What has arrived is not what was announced."""


class LinkInvalid(JobRefused):
    """The link to a file was changed, or has expired."""


class IdempotencyConflict(JobRefused):
    """The idempotency key was used before with another task or other arguments."""


class JobExists(JobRefused):
    """Another job has the id, and its record still exists."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is a job with id {job_id!r} already; leave the id out, or choose another")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job_id,)


class SubmissionInvalid(JobRefused, ValueError):
    """A submission has faults. `faults` has one dict for each, as the API shows it."""

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
    """Base of the errors that `JobHandle.result()` raises when the job ended without a result."""

    def __init__(self, job_id: str, message: str) -> None:
        self.job_id = job_id
        self.message = message
        super().__init__(f"job {job_id} {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job_id, self.message)


class JobFailed(JobUnsuccessful):
    """The job raised, ran out of attempts, or exceeded its time limit. The message names the cause."""


class JobCancelled(JobUnsuccessful):
    """The job was cancelled before it produced a result."""


class ResultTimeout(CeleriacError, TimeoutError):
    """The job did not finish within the given time. It continues; ask again later."""


#: How long a job may ask to be left alone: ten years. Dates end somewhere.
_LONGEST_WAIT_S = 10 * 365 * 86_400


def _checked_wait(wish: str, seconds: float) -> float:
    is_number = isinstance(seconds, int | float)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_number or not seconds <= _LONGEST_WAIT_S:
        raise ValueError(f"{wish}({seconds!r}): give a number of seconds, at most {_LONGEST_WAIT_S} (ten years)")
    return seconds


class RetryAfter(CeleriacError):
    """Raise inside a job to ask for another attempt after `seconds`, within the job's `Retry.attempts`.

    Raises:
        ValueError: `seconds` is no number, or more than ten years.
    """

    def __init__(self, seconds: float, reason: str = "") -> None:
        self.seconds = _checked_wait("RetryAfter", seconds)
        self.reason = reason
        super().__init__(reason or f"asked to be retried after {seconds:g} s")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason)


class RunLater(CeleriacError):
    """Raise inside a job that cannot begin yet, to have it run again after `seconds`. This counts as no attempt.

    Use it where a job waits for its turn, as under a limit. It costs a fraction of a retry.

    Raises:
        ValueError: `seconds` is no number, or more than ten years.
    """

    def __init__(self, seconds: float, reason: str = "") -> None:
        self.seconds = _checked_wait("RunLater", seconds)
        self.reason = reason
        super().__init__(reason or f"asked to be run after {seconds:g} s")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason)


class JobInterrupted(BaseException):
    """Raised inside a running `def` job when it is cancelled; `async def` jobs get `CancelledError`.

    Like `CancelledError` it is not an `Exception`, so that a job's own error handling does not swallow it.
    """


class JobTimedOut(CeleriacError, TimeoutError):
    """The job ran longer than its `timeout`, and was stopped."""


class InvalidResult(CeleriacError, TypeError):
    """The job's result does not fit its annotation, or JSON cannot represent it. Never retried: the work is done."""


class InvalidMessage(CeleriacError, ValueError):
    """A task's message cannot be read, or is invalid. `send_task` raises it; a worker keeps such a message as dead."""


class OutcomeNotStored(CeleriacError):
    """The job's outcome could not be stored. The job has failed, and its message is a dead letter with the cause."""


class JobAborted(CeleriacError):
    """The job raised what no job may, such as `SystemExit` or its own `Retry`, or cancelled itself. It has failed."""


class JobCrashed(CeleriacError):
    """The process of an isolated job ended before the job. It counts as any failure, and the worker continues."""
