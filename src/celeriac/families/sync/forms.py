"""What callers send: which streams to read, look at or reset, as JSON, checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Postgres takes no NUL in a text, so that one is no question for it.
StreamName = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00]*$")]
#: The name of a sync in a path. What cannot be one is no question for a database.
SyncName = Annotated[str, StringConstraints(max_length=60, pattern="^[A-Za-z0-9_-]*$")]
RunId = Annotated[str, StringConstraints(max_length=128, pattern="^[A-Za-z0-9_.:-]*$")]


class StreamsForm(BaseModel):
    """Which streams of a sync."""

    model_config = ConfigDict(extra="forbid")

    streams: list[StreamName] | None = Field(
        default=None, min_length=1, max_length=200, description="Their names. Left out or null: all", examples=[None]
    )


class RunForm(StreamsForm):
    """What a run reads."""

    full: bool = Field(
        default=False,
        description="Read all records, whatever the cursor: for columns that are new, or for records that were missed",
    )
