"""A job as its users see it. Its broker is absent, so that whatever is refused was refused before anything was sent."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import BrokerUnavailable, InvalidArguments, Job, UnknownJob
from celeriac.client.client import JobClient
from celeriac.core.routing import Routing
from celeriac.core.spec import JobSpec
from celeriac.launch.ports import free_port


def add(a: int, b: int = 1) -> int:
    return a + b


@pytest.fixture
def client() -> JobClient:
    absent = f"redis://127.0.0.1:{free_port()}/0"
    return JobClient(
        broker_url=lambda: absent,
        results_url=lambda: absent,
        routing=Routing,
        specs={},
        timeout=2,
        retention_ms=lambda: 60_000,
    )


@pytest.fixture
def job(client: JobClient) -> Job[Any, int]:
    return Job(JobSpec("shop.add", add), client, celery_task=lambda: None)


@pytest.fixture
def other(client: JobClient) -> Job[Any, int]:
    return Job(JobSpec("shop.other", add), client, celery_task=lambda: None)


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
