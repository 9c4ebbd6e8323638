"""Errors of cleanup.

CeleriacError
├── ArchiveDamaged              an archive is not what was written; nothing is deleted, and nothing restored from it
└── ArchiveRefused              rows cannot be archived, or an archive cannot be used, as it is
"""

from __future__ import annotations

from celeriac.core.errors import CeleriacError


class ArchiveDamaged(CeleriacError):
    """An archive is not what was written. The message names the file and the place."""


class ArchiveRefused(CeleriacError, ValueError):
    """Rows cannot be archived without loss, or an archive cannot be used as it is. The message says what to change."""
