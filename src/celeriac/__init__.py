"""Background jobs for FastAPI: Celery and Redis, typed and asyncio-first."""

from celeriac.application import Celeriac
from celeriac.client.handle import JobHandle
from celeriac.client.job import Job
from celeriac.core.context import Children, JobContext
from celeriac.core.errors import (
    BrokerUnavailable,
    CeleriacError,
    ConfigurationError,
    IdempotencyConflict,
    InvalidArguments,
    InvalidJobDefinition,
    JobCancelled,
    JobFailed,
    JobInterrupted,
    JobRefused,
    JobTimedOut,
    JobUnsuccessful,
    ResultTimeout,
    RetryAfter,
    UnknownJob,
    UnknownTask,
    WrongState,
)
from celeriac.core.records import Failure, JobEvent, JobRecord, Progress
from celeriac.core.retry import Retry
from celeriac.core.spec import Call
from celeriac.core.states import JobState
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
    "Job",
    "JobCancelled",
    "JobContext",
    "JobEvent",
    "JobFailed",
    "JobHandle",
    "JobInterrupted",
    "JobRecord",
    "JobRefused",
    "JobState",
    "JobTimedOut",
    "JobUnsuccessful",
    "Progress",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "Settings",
    "UnknownJob",
    "UnknownTask",
    "WrongState",
    "load_settings",
]
