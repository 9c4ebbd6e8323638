"""The models that the job API returns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from celeriac.core.records import JobRecord
from celeriac.core.states import JobState


class ProgressView(BaseModel):
    """The progress of a job. `total` is null while unknown."""

    done: float
    total: float | None
    message: str


class ErrorView(BaseModel):
    """The error of a job that did not succeed."""

    type: str
    message: str


class ChildrenView(BaseModel):
    """The number of a job's children, and of their outcomes."""

    total: int
    open: int
    succeeded: int
    failed: int
    cancelled: int


class JobView(BaseModel):
    """One job. Times are UTC."""

    id: str
    task: str
    queue: str
    state: JobState
    attempt: int = Field(description="The current or last attempt, counted from 1; 0 before the first")
    progress: ProgressView | None
    error: ErrorView | None
    children: ChildrenView | None
    parent_id: str | None
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    delay_until: datetime | None


class JobPage(BaseModel):
    """Jobs, newest first. A short page is not always the last: only a null `next` is the end."""

    jobs: list[JobView]
    next: str | None = Field(description="Send it as `cursor` to get the next page")


class ResultView(BaseModel):
    """The result of a job that succeeded."""

    id: str
    result: Any


def view(record: JobRecord) -> JobView:
    """Return the part of a record that the API shows. Only operators see tracebacks and arguments."""
    progress, error = record.progress, record.error
    return JobView(
        id=record.id,
        task=record.task,
        queue=record.queue,
        state=record.state,
        attempt=record.attempt,
        progress=ProgressView(done=progress.done, total=progress.total, message=progress.message) if progress else None,
        error=ErrorView(type=error.type, message=error.message) if error else None,
        children=ChildrenView(**record.children) if record.children else None,
        parent_id=record.parent_id,
        cancel_requested=record.cancel_requested,
        created_at=record.created_at,
        updated_at=record.updated_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        delay_until=record.delay_until,
    )
