"""What is known of an upload, and its entry: an empty file among those of its caller.

The name of an entry says what a list and a quota need, so that no record is read for either.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celeriac.core.errors import FileTooLarge, TooManyFiles

FOLDER = "uploads/owners"

_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One upload of a caller: when it was announced (UTC), its id and its size in bytes. Entries sort by time."""

    created_at: datetime
    id: str
    size: int
    owner: str
    """The folder of the caller's entries: the name of an API key may have any characters."""

    @property
    def path(self) -> str:
        return f"{self.owner}/{self.cursor}_{self.size}"

    @property
    def cursor(self) -> str:
        """Its place in the list: microseconds, whose texts sort as the numbers do, and the id."""
        return f"{(self.created_at - _EPOCH) // _MICROSECOND:016d}_{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that a caller sends.

    Attributes:
        id: its id.
        owner: the caller, by the name of the API key; empty without keys.
        name: the file's name, as the caller chose it.
        size: how large it is, as announced, in bytes.
        offset: how many bytes have arrived.
        sha256: the digest of its content in hexadecimal digits: as announced, and known when it is complete.
        content_type: its media type, found by its first bytes; empty until it is complete.
        path: where the whole file is kept in the storage; empty until it is complete.
        created_at: when it was announced (UTC).
    """

    id: str
    owner: str
    name: str
    size: int
    offset: int = 0
    sha256: str = ""
    content_type: str = ""
    path: str = ""
    created_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived and has been checked."""
        return bool(self.path)

    @property
    def entry(self) -> Entry:
        """What stands for it among the caller's uploads."""
        return Entry(self.created_at, self.id, self.size, folder_of(self.owner))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What one caller may keep.

    Attributes:
        file_bytes: the size of one file.
        owner_bytes: of all uploads of one caller together, counted as they are announced.
        owner_files: how many uploads.
    """

    file_bytes: int
    owner_bytes: int
    owner_files: int

    def check(self, entries: list[Entry]) -> None:
        """Refuse an upload whose entry is among these, all of one caller, already.

        Raises:
            FileTooLarge, TooManyFiles: the caller may not keep that much.
        """
        if len(entries) > self.owner_files:
            raise TooManyFiles(
                f"there are {len(entries) - 1} uploads, as many as one caller may have (CELERIAC_MAX_UPLOADS): "
                "delete some"
            )
        if sum(entry.size for entry in entries) > self.owner_bytes:
            raise FileTooLarge(
                f"the uploads of one caller may have {self.owner_bytes:,} bytes "
                "(CELERIAC_UPLOAD_QUOTA_BYTES): delete some"
            )


def entry_at(path: str) -> Entry | None:
    """The entry that is kept at a path; None for a file of others, such as `.DS_Store`."""
    owner, _, name = path.rpartition("/")
    try:
        microseconds, upload_id, size = name.split("_")
        return Entry(_EPOCH + int(microseconds) * _MICROSECOND, upload_id, int(size), owner)
    except (ValueError, OverflowError):
        return None


def folder_of(owner: str) -> str:
    """The folder of a caller's entries."""
    return f"{FOLDER}/{hashlib.sha256(owner.encode()).hexdigest()[:32]}"
