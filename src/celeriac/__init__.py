"""Background jobs for FastAPI: Celery and Redis, typed and asyncio-first.

Each name below is imported at its first use, so that a process of the stack loads only what it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.core.lazy_names import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    {
        "application": ("Celeriac",),
        "client.handle": ("JobHandle",),
        "client.job": ("Job",),
        "client.limits": ("Limits", "Taken"),
        "core.context": ("Children", "JobContext"),
        "core.errors": (
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
        "core.limits": ("Limit", "Refused"),
        "core.records": ("Failure", "JobEvent", "JobRecord", "Progress"),
        "core.retry": ("Retry",),
        "core.spec": ("Call",),
        "core.states": ("JobState",),
        "engine.adoption": ("celery_settings",),
        "engine.job_logs": ("JobLogFilter",),
        "settings": ("Settings", "load_settings"),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
