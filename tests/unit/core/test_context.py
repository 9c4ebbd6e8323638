"""What a running job may say: how far it is, that it fans out, and that it stops when cancelled."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from celeriac import Children, JobContext, Progress
from celeriac.core.context import JobSuspended
from celeriac.core.errors import JobInterrupted
from celeriac.core.spec import Call, JobSpec

CALL = Call[None](JobSpec("shop.child", lambda: None), b"{}")
COUNTS = Children(total=3, succeeded=1, failed=1, cancelled=1)


@dataclass
class Worker:
    """The worker's side of a context; keeps what a job says."""

    reports: list[tuple[str, Progress]] = field(default_factory=list[tuple[str, Progress]])
    spawned: list[list[Call[Any]]] = field(default_factory=list[list[Call[Any]]])
    cancelled: bool = False

    async def spawn(self, calls: list[Call[Any]]) -> None:
        self.spawned.append(calls)

    def context(self, **values: Any) -> JobContext:
        known: dict[str, Any] = {"attempt": 1, "attempts": 3, "parent_id": None, "children": None, **values}
        return JobContext(
            id="job-1",
            task="shop.job",
            report=lambda job_id, progress: self.reports.append((job_id, progress)),
            spawn=self.spawn,
            cancel_requested=lambda: self.cancelled,
            **known,
        )


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.mark.parametrize(("attempt", "last"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_job_knows_its_last_attempt(worker: Worker, attempt: int, last: bool) -> None:
    assert worker.context(attempt=attempt).is_last_attempt is last


def test_progress_is_reported_for_the_job_and_for_its_parent(worker: Worker) -> None:
    context = worker.context(parent_id="parent-1")
    context.progress(1, 4, "a quarter")
    context.parent_progress(2)
    assert worker.reports == [("job-1", Progress(1, 4, "a quarter")), ("parent-1", Progress(2))]


def test_progress_of_a_parent_that_is_not_there_goes_nowhere(worker: Worker) -> None:
    worker.context().parent_progress(2)
    assert worker.reports == []


def test_progress_that_is_no_number_is_an_error_where_it_was_reported(worker: Worker) -> None:
    with pytest.raises(ValueError, match="done=nan is not a finite number"):
        worker.context().progress(float("nan"))
    assert worker.reports == []


def test_a_job_stops_where_it_asks_once_it_is_cancelled(worker: Worker) -> None:
    context = worker.context()
    context.raise_if_cancelled()
    worker.cancelled = True
    with pytest.raises(JobInterrupted, match="job job-1 was cancelled"):
        context.raise_if_cancelled()


async def test_a_first_fan_out_enqueues_the_children_and_leaves_the_worker(worker: Worker) -> None:
    with pytest.raises(JobSuspended):
        await worker.context().fan_out(CALL for _ in range(3))
    assert worker.spawned == [[CALL] * 3]


async def test_a_job_whose_children_have_ended_gets_their_counts_and_enqueues_none_again(worker: Worker) -> None:
    assert await worker.context(children=COUNTS).fan_out([CALL]) == COUNTS
    assert worker.spawned == []


async def test_a_fan_out_to_nobody_goes_on_at_once(worker: Worker) -> None:
    assert await worker.context().fan_out([]) == Children(total=0, succeeded=0, failed=0, cancelled=0)
    assert worker.spawned == []


@pytest.mark.parametrize(("children", "first"), [(COUNTS, [CALL]), (None, [])])
async def test_a_second_fan_out_is_an_error(worker: Worker, children: Children | None, first: list[Call[Any]]) -> None:
    context = worker.context(children=children)
    await context.fan_out(first)
    with pytest.raises(RuntimeError, match="job job-1 fans out a second time"):
        await context.fan_out([CALL])
    assert worker.spawned == []


async def test_a_second_fan_out_is_an_error_also_for_a_job_that_swallows_the_first(worker: Worker) -> None:
    context = worker.context()
    with pytest.raises(JobSuspended):
        await context.fan_out([CALL])
    with pytest.raises(RuntimeError):
        await context.fan_out([CALL])
    assert len(worker.spawned) == 1
