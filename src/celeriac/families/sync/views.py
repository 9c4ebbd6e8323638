"""What the API and the commands show of syncs and their runs: no secret, and no value that may be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from celeriac.core.clock import to_datetime
from celeriac.families.sync.counts import Counts
from celeriac.families.sync.definitions import Definition
from celeriac.families.sync.history import Reject, Run
from celeriac.families.sync.model import DatabaseDestination, Deletes, Mode, OnNewColumn, PythonSource, Stream, Sync
from celeriac.families.sync.outcome import StreamOutcome
from celeriac.families.sync.states import State

_MASK = "***"
#: Mappings of a source whose values are a user's own, and may be secret.
_MASKED = ("headers", "params", "parameters")


class StreamView(BaseModel):
    """A stream of a sync, as it is defined."""

    name: str
    table: str | None = Field(description="The table that has its rows; null: files have them")
    mode: Mode
    primary_key: list[str]
    cursor: str | None = Field(description="The field by which a run asks only for what has changed")
    lookback: float
    parent: str | None = Field(description="The stream whose records have these as children")
    columns: dict[str, str] = Field(description="Types that were declared")
    on_new_column: OnNewColumn
    deletes: Deletes | None = Field(description="What a full refresh does with rows that have vanished")

    @classmethod
    def of(cls, sync: Sync, stream: Stream) -> Self:
        """Show a stream."""
        table = None
        if isinstance(sync.destination, DatabaseDestination):
            schema = f"{sync.destination.database_schema}." if sync.destination.database_schema else ""
            table = f"{schema}{sync.destination.table_prefix}{stream.table_name}"
        return cls(
            name=stream.name,
            table=table,
            mode=stream.mode,
            primary_key=list(stream.primary_key),
            cursor=stream.cursor,
            lookback=stream.lookback,
            parent=stream.parent.stream if stream.parent is not None else None,
            columns={path: kind.value for path, kind in stream.columns.items()},
            on_new_column=stream.on_new_column,
            deletes=stream.deletes if stream.mode is Mode.FULL_REFRESH else None,
        )


class SyncView(BaseModel):
    """A sync, as it is defined. It comes from the application's configuration, and cannot be changed here."""

    name: str
    defined_in: str = Field(description="The file, or the call, that defines it")
    source: dict[str, Any] = Field(
        description="Secrets are named by their place. Values of headers and parameters are not shown"
    )
    destination: dict[str, Any]
    streams: list[StreamView]
    schedules: list[str] = Field(description="When beat runs it: `cron 0 * * * * Europe/Berlin`, `every 900 s`")

    @classmethod
    def of(cls, definition: Definition, schedules: Sequence[str], **more: Any) -> Self:
        """Show a sync. `more` are fields of a class below."""
        sync = definition.sync
        return cls(
            name=sync.name,
            defined_in=definition.where,
            source=source_shown(sync),
            destination=sync.destination.model_dump(mode="json", by_alias=True, exclude_none=True),
            streams=[StreamView.of(sync, stream) for stream in sync.streams],
            schedules=list(schedules),
            **more,
        )


class SyncList(BaseModel):
    """The syncs of the application, by name."""

    syncs: list[SyncView]


class RunView(BaseModel):
    """A run. Its id is that of its job, `/jobs/{id}`."""

    id: str
    sync: str
    state: Literal["running", "waiting", "done", "failed", "cancelled"] = Field(
        description="`waiting`: its job is tried again, as the source or the database was away"
    )
    error: str | None
    started_at: datetime
    ended_at: datetime | None
    streams: dict[str, StreamOutcome] = Field(description="What each stream has counted so far")

    @classmethod
    def of(cls, run: Run) -> Self:
        """Show a run."""
        return cls.model_validate(
            {
                "id": run.id,
                "sync": run.sync,
                "state": run.state,
                "error": run.error,
                "started_at": to_datetime(run.started_at),
                "ended_at": to_datetime(run.ended_at),
                "streams": {name: counted(counts) for name, counts in run.counts.items()},
            }
        )


class SyncWithRuns(SyncView):
    """A sync with its last run, and the job that runs it now."""

    last_run: RunView | None
    running: str | None = Field(description="The job that runs it now, `/jobs/{running}`")


class HostView(BaseModel):
    """The host of a sync's API. All syncs that read it wait together."""

    host: str | None = Field(description="Its name and port; null if the source is no HTTP API")
    closed_seconds: float = Field(description="For how many seconds no request is sent to it, as it has asked; 0: none")


class RunPage(BaseModel):
    """Runs, the newest first. Only a null `next` is the end."""

    runs: list[RunView]
    next: str | None = Field(description="Send it as `cursor` to get the next page")


class StreamStateView(BaseModel):
    """How far a stream is."""

    stream: str
    phase: Literal["idle", "reading", "read"] = Field(
        description="`reading` and `read`: a pass is under way, or was interrupted, and goes on where it has stopped"
    )
    full: bool = Field(description="Whether the pass that is under way, or was the last, reads all records")
    page: int = Field(description="The page with which it goes on, from 0")
    cursor: Any = Field(description="The value of the cursor from which the next pass asks for records")
    pending: Any = Field(description="The value that becomes the cursor when the pass is complete")
    last_pass: StreamOutcome = Field(description="What this pass has counted")

    @classmethod
    def of(cls, stream: str, state: State) -> Self:
        """Show the state of a stream."""
        return cls.model_validate(
            {
                "stream": stream,
                "phase": state.phase,
                "full": state.is_full,
                "page": state.place.page,
                "cursor": state.cursor,
                "pending": state.pending,
                "last_pass": counted(state.counts),
            }
        )


class StateView(BaseModel):
    """How far the streams of a sync are."""

    streams: list[StreamStateView]


class ResetView(BaseModel):
    """The streams that are read from the beginning from now on."""

    streams: list[str]


class RejectView(BaseModel):
    """A record that was not written, and why."""

    number: int
    stream: str
    run: str
    page: int = Field(description="The page it was on, from 0")
    position: int = Field(description="Its place on that page, from 0")
    reason: str
    record: str = Field(description="The record, or the beginning of it")
    at: datetime

    @classmethod
    def of(cls, reject: Reject) -> Self:
        """Show a rejected record."""
        return cls(
            number=reject.number,
            stream=reject.stream,
            run=reject.run,
            page=reject.page,
            position=reject.position,
            reason=reject.reason,
            record=reject.record,
            at=to_datetime(reject.at),
        )


class RejectPage(BaseModel):
    """Rejected records, the newest first. Only a null `next` is the end."""

    rejects: list[RejectView]
    next: str | None = Field(description="Send it as `cursor` to get the next page")


def source_shown(sync: Sync) -> dict[str, Any]:
    """Return a source's definition without the values that may be secret."""
    shown = sync.source.model_dump(mode="json", exclude_defaults=True)
    kind = "python" if isinstance(sync.source, PythonSource) else "http"
    return {"type": kind, **_masked(shown)}


def _masked(part: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict[str, Any]()
    for name, value in part.items():
        if name in _MASKED:
            shown[name] = dict.fromkeys(value, _MASK)
        else:
            shown[name] = _masked(value) if name == "auth" else value
    return shown


def counted(counts: Counts) -> StreamOutcome:
    """Show what was counted."""
    return StreamOutcome.of(counts)
