"""Carries errors from the process of an isolated job to its worker.

They are not pickled, because unpickling can run any code. The worker makes an error of the same name, message and
traceback instead. The process decides about a retry, because only it has the error itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from celeriac.core import codec
from celeriac.core.errors import CeleriacError, RunLater
from celeriac.core.records import Failure
from celeriac.engine.tracebacks import format_error


class RaisedElsewhere(Exception):
    """Base of the errors that stand for errors of isolated jobs.

    Attributes:
        celeriac_traceback: the traceback of the job's error, as text.
        retry_in: seconds until the job's next attempt. None if there is none.
        counts: whether this was an attempt.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(*told["args"])
        self._told = dict(told)
        self.celeriac_traceback: str = told["traceback"]
        self.retry_in: float | None = told["retry_in"]
        self.counts: bool = told["counts"]
        self.add_note(self.celeriac_traceback)  # shown by logs, and by all that formats errors in Python's way

    def __str__(self) -> str:
        return str(self._told["message"])

    def __reduce__(self) -> tuple[Any, ...]:
        return revived, (self._told,)  # its class is made at run time, so that pickle cannot find it by name


def told(error: BaseException, retry_in: float | None) -> dict[str, Any]:
    """Describe `error` in JSON types."""
    failure = Failure.of(error, format_error(error))
    return {
        "type": failure.type,
        "module": type(error).__module__,
        "args": _arguments(error, failure.message),
        "message": failure.message,
        "traceback": failure.traceback,
        "retry_in": retry_in,
        "counts": not isinstance(error, RunLater),
    }


def is_attempt(error: BaseException | None) -> bool:
    """Return whether a run that ended with `error` was an attempt. The error may stand for one of an isolated job."""
    return error.counts if isinstance(error, RaisedElsewhere) else not isinstance(error, RunLater)


def revived(told: Mapping[str, Any]) -> RaisedElsewhere:
    """Make the error that stands for the one that `told` described."""
    kind = type(told["type"], (RaisedElsewhere,), {"__module__": told["module"]})
    return cast(RaisedElsewhere, kind(told))


def _arguments(error: BaseException, message: str) -> Sequence[Any]:
    """Return the arguments with which Celery can make the error again. Only the message if they are no JSON."""
    args = cast(Any, error.__reduce__())[1] if isinstance(error, CeleriacError) else error.args
    try:
        codec.dumps(args)
    except (TypeError, ValueError):
        return [message]
    return list(args)
