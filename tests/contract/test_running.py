"""What a job is given, what it gives back, and how its end is recorded."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from celeriac import InvalidArguments, JobFailed, JobState, UnknownJob
from tests.support.contract_jobs import ContractJobs, Invoice, Line, Payment

KINDS = pytest.mark.parametrize("kind", ["async", "def"])
DUE = datetime(2026, 11, 22, 9, tzinfo=UTC)


@KINDS
async def test_a_result_comes_back(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("add", kind).enqueue(40, b=2)
    assert await handle.result(timeout=60) == 42


@KINDS
async def test_context_variables_end_with_the_run(jobs: ContractJobs, kind: str) -> None:
    handles = await jobs.twin("step", kind).enqueue_many([{}] * 20)
    assert {await handle.result(timeout=60) for handle in handles} == {"none"}


@KINDS
async def test_a_default_applies_where_the_job_runs(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("add", kind).enqueue(1)
    assert await handle.result(timeout=60) == 2
    assert (await handle.status()).arguments == {"a": 1}


@KINDS
async def test_arguments_and_results_keep_their_types(jobs: ContractJobs, kind: str) -> None:
    invoice = Invoice(lines=[Line(article="hinge", count=3)], due=DUE)
    handle = await jobs.twin("remind", kind).enqueue(invoice, wait=timedelta(hours=36))
    assert await handle.result(timeout=60) == invoice.model_copy(update={"due": DUE + timedelta(hours=36)})


@KINDS
async def test_strict_models_and_arguments_take_what_was_sent_as_json(jobs: ContractJobs, kind: str) -> None:
    payment = Payment(at=DUE, id=uuid4(), amount=Decimal("1.10"), way=(1, 2))
    expected = [payment.model_dump(mode="json"), 2026]
    handle = await jobs.twin("abide", kind).enqueue(payment, DUE)
    assert await handle.result(timeout=60) == expected
    by_celery = jobs.twin("abide", kind).task.delay(payment.model_dump(mode="json"), at=DUE)
    assert await jobs.app.client.result(by_celery.id, timeout=60) == expected
    assert (await jobs.app.client.get(by_celery.id)).arguments == (await handle.status()).arguments
    with pytest.raises(InvalidArguments, match=r"payment\.at: Input should be a valid datetime"):
        await jobs.twin("abide", kind).enqueue(payment.model_dump(mode="json"), DUE)


async def test_an_async_job_behind_a_decorator_that_is_not_async_is_awaited(jobs: ContractJobs) -> None:
    assert await (await jobs.decorated.enqueue(41)).result(timeout=60) == 42


async def test_wrong_arguments_are_refused_and_nothing_is_sent(jobs: ContractJobs) -> None:
    job_id = str(uuid4())
    with pytest.raises(InvalidArguments, match=r"invoice\.lines\.0\.count: Input should be greater than or equal to 1"):
        await jobs.remind.options(job_id=job_id).enqueue({"lines": [{"article": "x", "count": 0}], "due": DUE})
    with pytest.raises(UnknownJob):
        await jobs.remind.handle(job_id).status()


async def test_the_record_tells_the_whole_story(jobs: ContractJobs) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    handle = await jobs.add.enqueue(1, 2)
    await handle.result(timeout=60)
    record = await handle.status()
    assert (record.state, record.attempt, record.task, record.queue) == (JobState.SUCCEEDED, 1, "add", "celery")
    assert record.started_at is not None
    assert record.finished_at is not None
    assert before <= record.created_at <= record.started_at <= record.finished_at
    assert record.error is None
    assert record.worker is not None


@KINDS
async def test_a_failure_is_recorded_with_type_message_and_traceback(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("fail", kind).enqueue("no hinges left")
    with pytest.raises(JobFailed, match=rf"job {handle.id} failed: OrderRejected: no hinges left"):
        await handle.result(timeout=60)
    record = await handle.status()
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert (record.error.type, record.error.message) == ("OrderRejected", "no hinges left")
    lines = (record.error.traceback or "").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert re.fullmatch(r"  … \d+ frames? of Celeriac and Celery …", lines[1])
    assert "contract_jobs.py" in lines[2]
    assert "raise OrderRejected(message)" in lines[3]


async def test_a_result_of_the_wrong_type_is_a_failure(jobs: ContractJobs) -> None:
    handle = await jobs.promise.enqueue("seven")
    with pytest.raises(JobFailed, match="Input should be a valid integer"):
        await handle.result(timeout=60)


@KINDS
@pytest.mark.parametrize("how", ["exit", "interrupt", "cancelled"])
async def test_a_job_cannot_take_its_worker_along(jobs: ContractJobs, kind: str, how: str) -> None:
    handle = await jobs.twin("leave", kind).enqueue(how)
    with pytest.raises(JobFailed, match=r"JobAborted: the job raised .*\('by the job itself'\)"):
        await handle.result(timeout=60)
    assert (await handle.status()).attempt == 3  # a failure like any other
    assert await (await jobs.twin("add", kind).enqueue(1, 1)).result(timeout=60) == 2


async def test_arguments_that_a_stock_producer_got_wrong_fail_at_once(jobs: ContractJobs) -> None:
    job_id = str(uuid4())
    jobs.app.send_task("flaky", kwargs={"failures": "many"}, task_id=job_id)
    record = await jobs.app.client.wait(job_id, timeout=60)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert record.error.type == "InvalidArguments"
    assert record.attempt == 1


async def test_a_job_knows_itself(jobs: ContractJobs) -> None:
    handle = await jobs.who.enqueue()
    assert await handle.result(timeout=60) == {"id": handle.id, "attempt": 1, "attempts": 1, "parent": None}


async def test_an_id_that_was_never_enqueued_is_unknown(jobs: ContractJobs) -> None:
    handle = jobs.add.handle(str(uuid4()))
    for look in (handle.status, handle.cancel, handle.result, lambda: jobs.app.client.retry(handle.id)):
        with pytest.raises(UnknownJob, match=handle.id):
            await look()


async def test_many_are_enqueued_in_order_and_all_run(jobs: ContractJobs) -> None:
    handles = await jobs.add.enqueue_many([jobs.add.call(i, i) if i % 2 else {"a": i, "b": i} for i in range(60)])
    assert [await handle.result(timeout=60) for handle in handles] == [2 * i for i in range(60)]
    assert len({handle.id for handle in handles}) == 60


async def test_none_of_many_is_sent_if_one_is_wrong(jobs: ContractJobs) -> None:
    before = (await jobs.app.client.page(limit=1))[0]
    with pytest.raises(InvalidArguments):
        await jobs.add.enqueue_many([{"a": 1}, {"a": "one"}])
    assert (await jobs.app.client.page(limit=1))[0] == before
