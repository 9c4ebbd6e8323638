"""What the API shows of a job, and what it keeps to itself."""

from __future__ import annotations

from datetime import UTC, datetime

from celeriac.core.records import Failure, JobRecord, Progress
from celeriac.core.states import JobState
from celeriac.http.models import view

MOMENT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_arguments_and_tracebacks_stay_inside() -> None:
    record = JobRecord(
        id="1",
        task="pay",
        queue="celery",
        state=JobState.FAILED,
        created_at=MOMENT,
        updated_at=MOMENT,
        arguments={"card": "4111 1111"},
        error=Failure("Declined", "no funds", "Traceback: card=4111 1111"),
        worker="worker@host.internal",
    )
    shown = view(record).model_dump_json()
    assert "no funds" in shown
    assert "4111" not in shown
    assert "host.internal" not in shown


def test_progress_and_children_are_shown() -> None:
    children = {"total": 3, "open": 1, "succeeded": 2, "failed": 0, "cancelled": 0}
    record = JobRecord(
        id="1",
        task="send",
        queue="celery",
        state=JobState.RUNNING,
        created_at=MOMENT,
        updated_at=MOMENT,
        progress=Progress(2, 3, "sent"),
        children=children,
    )
    shown = view(record).model_dump()
    assert shown["progress"] == {"done": 2, "total": 3, "message": "sent"}
    assert shown["children"] == children
