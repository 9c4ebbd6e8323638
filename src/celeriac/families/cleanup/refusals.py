"""Errors of what callers ask of cleanups."""

from __future__ import annotations

from celeriac.core.errors import JobRefused, SubmissionInvalid


class UnknownRun(JobRefused, LookupError):
    """There is no run with that id."""


class BudgetInvalid(SubmissionInvalid):
    """A run asks for a larger budget than its policy has. The message names both."""
