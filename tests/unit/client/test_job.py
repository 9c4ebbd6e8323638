"""A job as its users see it. Its broker is absent, so that whatever is refused was refused before anything was sent."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import BrokerUnavailable, Children, InvalidArguments, Job, JobContext, Retry, UnknownJob
from celeriac.client.client import JobClient
from celeriac.client.connections import ConnectionsPerLoop
from celeriac.client.enqueuer import Enqueuer
from celeriac.core.job_options import JobOptions
from celeriac.core.routing import Routing
from celeriac.core.spec import JobSpec
from celeriac.launch.resources.ports import free_port


def add(a: int, b: int = 1) -> int:
    return a + b


@pytest.fixture
def client() -> JobClient:
    absent = f"redis://127.0.0.1:{free_port()}/0"
    enqueuer = Enqueuer(ConnectionsPerLoop(lambda: absent, lambda: absent, timeout=2), Routing)
    return JobClient(enqueuer, specs={}, retention_ms=lambda: 60_000)


@pytest.fixture
def job(client: JobClient) -> Job[Any, int]:
    return Job(JobSpec("shop.add", add), lambda: client, celery_task=lambda: None)


@pytest.fixture
def other(client: JobClient) -> Job[Any, int]:
    return Job(JobSpec("shop.other", add), lambda: client, celery_task=lambda: None)


async def test_the_broker_of_these_tests_is_absent(job: Job[Any, int], client: JobClient) -> None:
    with pytest.raises(BrokerUnavailable):
        await job.enqueue(1)
    with pytest.raises(BrokerUnavailable):
        await job.enqueue_many([{"a": 1}])
    await client.aclose()


async def test_arguments_are_refused_before_anything_is_sent(job: Job[Any, int]) -> None:
    with pytest.raises(InvalidArguments):
        await job.enqueue("one")
    with pytest.raises(InvalidArguments):
        await job.enqueue_many([{"a": 1}, {"a": "one"}])


async def test_calls_of_another_job_are_refused_before_anything_is_sent(
    job: Job[Any, int], other: Job[Any, int]
) -> None:
    with pytest.raises(ValueError, match=r"calls of another job, shop\.other, given to shop\.add"):
        await job.enqueue_many([job.call(1), other.call(2)])


@pytest.mark.parametrize("options", [{"idempotency_key": "k"}, {"job_id": "job-1"}])
async def test_what_stands_for_one_job_cannot_be_given_to_many(job: Job[Any, int], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stands for one job"):
        await job.options(**options).enqueue_many([{"a": 1}])


async def test_no_jobs_are_enqueued_without_asking_the_broker(job: Job[Any, int]) -> None:
    assert await job.enqueue_many([]) == []


async def test_validating_many_leaves_the_event_loop_to_others_now_and_then(job: Job[Any, int]) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    others = asyncio.create_task(other())
    seen: list[int] = []

    def calls() -> Iterator[dict[str, int]]:
        for n in range(5000):
            seen.append(turns)
            yield {"a": n}
        yield {"a": "one"}  # type: ignore[dict-item]

    with pytest.raises(InvalidArguments):
        await job.enqueue_many(calls())
    others.cancel()
    assert len(set(seen)) >= 3


@pytest.mark.parametrize("job_id", ["", "../x", "a b", "x" * 129])
async def test_an_id_that_cannot_be_one_is_refused_and_never_looked_up(job: Job[Any, int], job_id: str) -> None:
    with pytest.raises(ValueError, match="use 1 to 128 letters, digits"):
        await job.options(job_id=job_id).enqueue(1)
    with pytest.raises(UnknownJob):
        await job.handle(job_id).status()


def test_options_make_another_job_and_leave_the_first_as_it_was(job: Job[Any, int]) -> None:
    later = job.options(delay=60)
    mailed = later.options(queue="mail")
    assert (later is job, later._options == job._options) == (False, False)
    assert (job._options.delay, later._options.delay, mailed._options.delay) == (None, 60, 60)
    assert (later._options.queue, mailed._options.queue) == (None, "mail")
    assert later.spec is job.spec
    assert mailed.task is job.task


def test_options_that_contradict_each_other_are_refused_where_they_are_written(job: Job[Any, int]) -> None:
    with pytest.raises(ValueError, match="give `delay` or `at`, not both"):
        job.options(delay=60).options(at=datetime.now(UTC))


def test_a_job_is_still_its_function_and_shows_its_name(job: Job[Any, int]) -> None:
    assert job.function(2, 3) == 5
    assert repr(job) == "<Job shop.add>"
    assert repr(job.handle("job-1")) == "<JobHandle shop.add job-1>"


def greet(name: str, job: JobContext, /, mark: str = "!") -> str:
    job.progress(1, 2)
    job.parent_progress(1)
    job.raise_if_cancelled()
    return f"{name}{mark} {job.task} {job.attempt} of {job.attempts}"


async def test_to_call_a_job_is_to_call_its_function(job: Job[Any, int], client: JobClient) -> None:
    async def later(a: int) -> int:
        return a

    assert job(2) == 3
    assert job(a=2, b=3) == 5
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        job()
    assert await Job(JobSpec("shop.later", later), lambda: client, celery_task=lambda: None)(7) == 7


def test_a_called_job_that_wants_a_context_gets_one_unless_it_is_given(client: JobClient) -> None:
    options = JobOptions(retry=Retry(attempts=3))
    job: Job[Any, str] = Job(JobSpec("shop.greet", greet, options), lambda: client, celery_task=lambda: None)
    assert job("Ada") == "Ada! shop.greet 1 of 3"
    assert job("Ada", mark="?") == "Ada? shop.greet 1 of 3"
    assert job("Ada", JobContext(task="mine", attempt=2), "?") == "Ada? mine 2 of 1"
    with pytest.raises(TypeError, match="missing a required argument: 'name'"):
        job()


async def test_a_context_of_a_direct_call_has_children_only_where_they_are_given(job: Job[Any, int]) -> None:
    ended = Children(total=2, succeeded=1, failed=1, cancelled=0)
    assert await JobContext(children=ended).fan_out([job.call(1)]) == ended
    with pytest.raises(RuntimeError, match=r"run it with `celeriac\.testing`"):
        await JobContext().fan_out([job.call(1)])


@pytest.mark.parametrize("name", ["delay", "apply_async", "s"])
def test_what_celerys_tasks_have_and_jobs_have_not_is_an_attribute_error_that_names_the_right_way(
    job: Job[Any, int], name: str
) -> None:
    with pytest.raises(AttributeError, match=rf"enqueue it with `await job\.enqueue.*job\.task\.{name}"):
        getattr(job, name)
    with pytest.raises(AttributeError, match="'Job' object has no attribute 'enqeue'"):
        _ = job.enqeue  # type: ignore[attr-defined]


async def test_ids_for_many_must_be_valid_and_as_many_as_the_calls(job: Job[Any, int]) -> None:
    with pytest.raises(ValueError, match="1 job_ids for 2 calls: give one id for each call"):
        await job.enqueue_many([{"a": 1}, {"a": 2}], job_ids=["one"])
    with pytest.raises(ValueError, match="use 1 to 128 letters, digits"):
        await job.enqueue_many([{"a": 1}], job_ids=["../x"])
