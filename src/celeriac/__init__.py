"""Background jobs for FastAPI: Celery and Redis, typed and asyncio-first.

Each name below is imported at its first use, so that a process of the stack loads only what it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.application import Celeriac
    from celeriac.client.handle import JobHandle
    from celeriac.client.job import Job
    from celeriac.client.limits import Limits, Taken
    from celeriac.core.context import Children, JobContext
    from celeriac.core.errors import (
        BrokerUnavailable,
        CeleriacError,
        ConfigurationError,
        IdempotencyConflict,
        InvalidArguments,
        InvalidJobDefinition,
        InvalidMessage,
        InvalidResult,
        JobAborted,
        JobCancelled,
        JobCrashed,
        JobExists,
        JobFailed,
        JobInterrupted,
        JobRefused,
        JobTimedOut,
        JobUnsuccessful,
        OutcomeNotStored,
        ResultTimeout,
        RetryAfter,
        RunLater,
        UnknownJob,
        UnknownTask,
        WrongState,
    )
    from celeriac.core.limits import Limit, Refused
    from celeriac.core.records import Failure, JobEvent, JobRecord, Progress
    from celeriac.core.retry import Retry
    from celeriac.core.spec import Call
    from celeriac.core.states import JobState
    from celeriac.engine.adoption import celery_settings
    from celeriac.engine.job_logs import JobLogFilter
    from celeriac.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "BrokerUnavailable",
    "Call",
    "Celeriac",
    "CeleriacError",
    "Children",
    "ConfigurationError",
    "Failure",
    "IdempotencyConflict",
    "InvalidArguments",
    "InvalidJobDefinition",
    "InvalidMessage",
    "InvalidResult",
    "Job",
    "JobAborted",
    "JobCancelled",
    "JobContext",
    "JobCrashed",
    "JobEvent",
    "JobExists",
    "JobFailed",
    "JobHandle",
    "JobInterrupted",
    "JobLogFilter",
    "JobRecord",
    "JobRefused",
    "JobState",
    "JobTimedOut",
    "JobUnsuccessful",
    "Limit",
    "Limits",
    "OutcomeNotStored",
    "Progress",
    "Refused",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "RunLater",
    "Settings",
    "Taken",
    "UnknownJob",
    "UnknownTask",
    "WrongState",
    "celery_settings",
    "load_settings",
]

_HOMES = {
    "celeriac.application": ("Celeriac",),
    "celeriac.client.handle": ("JobHandle",),
    "celeriac.client.job": ("Job",),
    "celeriac.client.limits": ("Limits", "Taken"),
    "celeriac.core.context": ("Children", "JobContext"),
    "celeriac.core.errors": (
        "BrokerUnavailable",
        "CeleriacError",
        "ConfigurationError",
        "IdempotencyConflict",
        "InvalidArguments",
        "InvalidJobDefinition",
        "InvalidMessage",
        "InvalidResult",
        "JobAborted",
        "JobCancelled",
        "JobCrashed",
        "JobExists",
        "JobFailed",
        "JobInterrupted",
        "JobRefused",
        "JobTimedOut",
        "JobUnsuccessful",
        "OutcomeNotStored",
        "ResultTimeout",
        "RetryAfter",
        "RunLater",
        "UnknownJob",
        "UnknownTask",
        "WrongState",
    ),
    "celeriac.core.limits": ("Limit", "Refused"),
    "celeriac.core.records": ("Failure", "JobEvent", "JobRecord", "Progress"),
    "celeriac.core.retry": ("Retry",),
    "celeriac.core.spec": ("Call",),
    "celeriac.core.states": ("JobState",),
    "celeriac.engine.adoption": ("celery_settings",),
    "celeriac.engine.job_logs": ("JobLogFilter",),
    "celeriac.settings": ("Settings", "load_settings"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
