"""Errors of cleanup.

CeleriacError
├── ArchiveDamaged              an archive is not what was written; nothing is deleted, and nothing restored from it
├── ArchiveRefused              rows cannot be archived, or an archive cannot be used, as it is
├── CleanupRefused              a run cannot begin or go on as policy and database are; another try will not help
│   ├── PolicyInvalid           a policy cannot be used; the message names its field. A ConfigurationError, too
│   ├── TableRefused            a table cannot be cleaned as it is, or may not be
│   ├── RowsKept                the database keeps rows that it was told to delete: a trigger or a rule does that
│   └── RowsReferred            rows of a table that the policy leaves alone refer to rows that should go
├── ChunkUnstable               rows of a chunk changed again and again while they were to be deleted; try later
├── NotMeasured                 what a throttle looks at cannot be measured; the run waits
├── BudgetInvalid               a run asks for a larger budget than its policy has
├── UnknownPolicy               no policy has that name
└── UnknownRun                  no run of a cleanup has that id
"""

from __future__ import annotations

from celeriac.core.errors import CeleriacError, ConfigurationError, JobRefused, SubmissionInvalid


class ArchiveDamaged(CeleriacError):
    """An archive is not what was written. The message names the file and the place."""


class ArchiveRefused(CeleriacError, ValueError):
    """Rows cannot be archived without loss, or an archive cannot be used as it is. The message says what to change."""


class CleanupRefused(CeleriacError):
    """A run cannot begin or go on as the policy and the database are. Another try will not help."""


class PolicyInvalid(CleanupRefused, ConfigurationError):
    """A policy cannot be used. The message names its field and what to change."""


class TableRefused(CleanupRefused):
    """A table cannot be cleaned as it is, or may not be. The message says what to change."""


class RowsReferred(CleanupRefused):
    """Rows of a table that the policy leaves alone refer to rows that should go. The message names the table."""


class RowsKept(CleanupRefused):
    """The database keeps rows that it was told to delete. The message names the table."""


class ChunkUnstable(CeleriacError):
    """Rows of a chunk changed again and again while they were to be deleted. None of them is deleted. Try later."""


class NotMeasured(CeleriacError):
    """What a throttle looks at cannot be measured. The message says why. The run waits."""


class BudgetInvalid(SubmissionInvalid):
    """A run asks for a larger budget than its policy has. The message names both."""


class UnknownRun(JobRefused, LookupError):
    """No run of a cleanup has that id, or it is older than `CELERIAC_CLEANUP_RETENTION`."""


class UnknownPolicy(JobRefused, LookupError):
    """No policy has that name."""
