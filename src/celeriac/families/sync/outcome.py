"""What comes of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from celeriac.families.sync.counts import Counts


class StreamOutcome(BaseModel):
    """What came of one stream. The numbers are those of its whole pass, over all runs that it took."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    received: int = Field(alias="in")
    """Records that came in. Each was written or rejected."""
    written: int
    """Records that were written. One that a later one with the same key has replaced counts, too."""
    rejected: int
    """Records that were not, with their reasons in the list of rejected records."""
    deleted: int
    """Rows that a full refresh has deleted, or marked so."""
    pages: int
    """Pages of the source."""
    repeated_pages: int
    """Pages that were asked for again after an interruption."""
    requests: int
    """Requests for them, with those that failed."""
    files: list[str] = Field(default_factory=list[str])
    """Files that the job has, where these are the destination."""
    ignored: list[str] = Field(default_factory=list[str])
    """New fields that were left out, because the stream says so."""

    @classmethod
    def of(cls, counts: Counts, files: list[str] | None = None, ignored: list[str] | None = None) -> StreamOutcome:
        """Make it of what was counted."""
        return cls.model_validate({**counts.as_dict(), "files": files or [], "ignored": ignored or []})


class SyncOutcome(BaseModel):
    """What came of a run."""

    sync: str
    """The sync."""
    state: Literal["done", "skipped"]
    """Whether it was done, or skipped because another run of the sync was under way."""
    reason: str = ""
    """Why it was skipped."""
    streams: dict[str, StreamOutcome] = Field(default_factory=dict[str, StreamOutcome])
    """What came of each stream."""
    seconds: float = 0
    """How long this attempt took."""
