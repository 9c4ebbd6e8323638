"""Errors of syncs.

CeleriacError
├── ConfigurationError
│   └── SyncInvalid             the definition of a sync is wrong; the message names the file and the field
├── JobRefused
│   ├── UnknownSync             no sync, or no stream of it, has that name
│   ├── UnknownRun              no run has that id, or it is too old
│   └── WrongState
│       └── SyncBusy            another job runs the sync
├── SourceUnavailable           the source does not answer; another attempt may help
└── SyncFailed                  a run has failed, and another attempt will not help
    ├── SourceFailed            the source refuses, or answers what cannot be right
    ├── SchemaStopped           records do not fit the table, and may not change it
    ├── TooManyRejected         more records were rejected than the stream allows
    └── CountsWrong             not each record was written or rejected; nothing of the page is kept
"""

from __future__ import annotations

from typing import Any

from celeriac.core.errors import CeleriacError, ConfigurationError, JobRefused, WrongState


class SyncInvalid(ConfigurationError):
    """The definition of a sync is wrong. The message names the file and the field."""


class UnknownSync(JobRefused, LookupError):
    """No sync, or no stream of it, has that name."""


class UnknownRun(JobRefused, LookupError):
    """No run of a sync has that id, or it is older than `CELERIAC_SYNC_RETENTION`."""


class SyncBusy(WrongState):
    """A job runs the sync. `job` is its id."""

    def __init__(self, sync: str, job: str) -> None:
        self.sync = sync
        self.job = job
        super().__init__(f"job {job} is running the sync {sync!r}; wait for it, or cancel it")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sync, self.job)


class SourceUnavailable(CeleriacError):
    """The source does not answer, or only with errors that pass. Another attempt may help."""


class SyncFailed(CeleriacError):
    """A run has failed, and another attempt will not help. The message says what to change."""


class SourceFailed(SyncFailed):
    """The source refuses, or answers what cannot be right."""


class SchemaStopped(SyncFailed):
    """Records do not fit the table of their stream, and may not change it. The message names the fields."""


class TooManyRejected(SyncFailed):
    """More records of a stream were rejected than it allows."""


class CountsWrong(SyncFailed):
    """Not each record of a page was either written or rejected. Nothing of the page is kept."""
