"""Rows that are written without the names of their fields, because there is one for each job."""

from __future__ import annotations

from celeriac.core.records import Failure
from celeriac.core.states import JobState
from celeriac.store.jobs import beginnings, enqueueing, payloads
from celeriac.store.jobs.transitions import Transition, TransitionRow
from celeriac.store.messages import deliveries

# Private: the rows are checked against the tables that Lua is compared with.
_BeginningRow = vars(beginnings)["_Job"]
_JobRow = vars(enqueueing)["_Job"]
_EndingRow = vars(deliveries)["_Ending"]


def test_the_row_of_a_job_that_begins() -> None:
    beginning = beginnings.Beginning(
        job_id="id",
        parent_id="parent",
        task="task",
        queue="queue",
        attempt=2,
        worker="worker",
        receipt="w/1",
        retention_ms=3,
    )
    row = _BeginningRow(
        id="id",
        parent_id="parent",
        task="task",
        queue="queue",
        attempt=2,
        worker="worker",
        receipt="w/1",
        life_ms=3,
        wanted="1",
    )
    assert tuple(beginnings.begin([beginning]).args[-len(row) :]) == row


def test_the_row_of_a_job_that_is_accepted() -> None:
    kind = enqueueing.JobKind(task="task", queue="queue", list_key="list")
    job = enqueueing.NewJob(kind, "id", b"message", b"arguments")
    row = _JobRow(number=1, id="id", arguments=b"arguments", message=b"message")
    assert tuple(enqueueing.enqueue([job]).args[-len(row) :]) == row


def test_the_row_of_a_job_that_ends() -> None:
    error = Failure("ValueError", "no")
    change = Transition(
        job_id="id",
        state=JobState.FAILED,
        parent_id="parent",
        run=2,
        attempt=3,
        task="task",
        outcome=b"outcome",
        error=error,
        retention_ms=4,
    )
    row = TransitionRow(
        id="id",
        parent_id="parent",
        state="failed",
        sources="queued,retrying,running,scheduled",
        run=2,
        attempt=3,
        task="task",
        event=payloads.state_event(JobState.FAILED, error=error),
        outcome=b"outcome",
        failure=payloads.failure(error),
        life_ms=4,
        is_end="1",
    )
    assert change.row() == row
    ending = _EndingRow(receipt="w/1", publications=0, kind="record")
    assert tuple(deliveries.Ending("w/1", end=change).arguments()) == (*ending, *row)
