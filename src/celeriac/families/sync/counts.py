"""What a run counts. Each record that comes in is either written or rejected, which is checked at each page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from celeriac.families.sync.errors import CountsWrong


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of a stream, or of all streams of a run.

    Attributes:
        received: records that came in.
        written: those that were written; one that a later one with the same key has replaced counts, too.
        rejected: those that were not, see `celeriac sync rejects`.
        deleted: rows that a full refresh has deleted, or marked so.
        pages: pages of the source that were committed.
        repeated_pages: pages that were asked for again after an interruption, because they come in pieces.
        requests: requests for them, with those that failed.
    """

    received: int = 0
    written: int = 0
    rejected: int = 0
    deleted: int = 0
    pages: int = 0
    repeated_pages: int = 0
    requests: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.received + other.received,
            self.written + other.written,
            self.rejected + other.rejected,
            self.deleted + other.deleted,
            self.pages + other.pages,
            self.repeated_pages + other.repeated_pages,
            self.requests + other.requests,
        )

    def rejecting(self, number: int) -> Counts:
        """Return them with some of the written records among the rejected."""
        if not number:
            return self
        return replace(self, written=self.written - number, rejected=self.rejected + number)

    def as_dict(self) -> dict[str, int]:
        """Return them for a JSON column."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, stored: Any) -> Counts:
        """Read what a JSON column has; none if it is empty."""
        numbers: dict[str, int] = stored or {}
        return cls(**numbers)

    def check(self, what: str) -> None:
        """
        Raises:
            CountsWrong: a record was neither written nor rejected, or both.
        """
        if self.received != self.written + self.rejected:
            raise CountsWrong(
                f"{what}: {self.received:,} records came in, but {self.written:,} were written and "
                f"{self.rejected:,} rejected"
            )
