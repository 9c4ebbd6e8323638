"""Errors of reports.

CeleriacError
├── SourceUnavailable           a named connection cannot be reached, or was lost; it is tried again
├── ReportNotMade               a report has no files: it has failed, or is not ready
├── PasswordUnavailable         the password of a PDF cannot be had in the worker
├── ConfigurationError
│   └── SourceInvalid           a query, a function or a connection cannot be a source of reports
├── JobRefused
│   └── SubmissionInvalid
│       └── ReportInvalid       a report was asked for wrongly; names the place and the fault
└── how a report's job may fail
    ├── DataInvalid             the data cannot be read: a file is broken or lies, a row does not fit
    ├── QueryFailed             the database refused a query, or stopped it
    ├── DataTooLarge            there are more rows, columns or characters than the settings allow
    └── ReportCrashed           its process ended while it worked, most likely at its limit of memory
"""

from __future__ import annotations

from typing import Any

from celeriac.core.errors import CeleriacError, ConfigurationError, SubmissionInvalid


class SourceUnavailable(CeleriacError):
    """A named connection cannot be reached, or was lost; the report is tried again. The message has no password."""


class PasswordUnavailable(CeleriacError):
    """The worker cannot have the password of a PDF. The message says where it was looked for, and never what it is."""


class ReportNotMade(CeleriacError):
    """A report has no files to fetch: it has failed, was cancelled, or is not ready yet. The message says which."""


class SourceInvalid(ConfigurationError):
    """A query, a function or a connection cannot be a source of reports. The message says what to change."""


class ReportInvalid(SubmissionInvalid):
    """A report was asked for wrongly. `place` is the path to the fault in the request, `fault` says what it is."""

    def __init__(self, place: str, fault: str) -> None:
        self.place = place
        self.fault = fault
        super().__init__(f"{place}: {fault}", [{"loc": ["body", *place.split(".")], "msg": fault}])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.place, self.fault)


class DataInvalid(CeleriacError, ValueError):
    """The data of a report cannot be read. The message names the place, such as the row, and the fault."""


class QueryFailed(CeleriacError):
    """The database refused the query of a report, or stopped it. The message has the database's own words."""


class DataTooLarge(CeleriacError, ValueError):
    """There is more data than a report may have. The message names the setting that allows more."""


class ReportCrashed(CeleriacError):
    """The process ended while it worked on the report, most likely at its limit of memory. It is not tried again."""
