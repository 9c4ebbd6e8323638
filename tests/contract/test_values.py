"""Values that fast readers of JSON change arrive and come back as they were, or are refused where they are sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.result import result_from_tuple

from celeriac import InvalidArguments, JobFailed, JobState, UnknownJob
from tests.contract.conftest import TaskOf
from tests.support.contract_jobs import ContractJobs, Trace
from tests.support.values import BEYOND_JSON, EXACT, spelt
from tests.support.waiting import wait_until

WAIT = 60
KINDS = pytest.mark.parametrize("kind", ["async", "def"])
CELERYS: list[Any] = EXACT + BEYOND_JSON


def test_plain_tasks_get_and_give_what_celery_can_send(task: TaskOf) -> None:
    results = [task("echo").delay(value) for value in CELERYS]
    named = [task("echo").delay(value=value) for value in CELERYS]
    for one in (results, named):
        assert spelt([result.get(timeout=WAIT) for result in one]) == spelt(CELERYS)


def test_what_celery_can_send_goes_through_its_canvas(task: TaskOf) -> None:
    echo = task("echo")
    assert spelt(chain(echo.s(CELERYS), echo.s(), echo.s())().get(timeout=WAIT)) == spelt(CELERYS)
    assert spelt(group(echo.s(value) for value in CELERYS)().get(timeout=WAIT)) == spelt(CELERYS)
    assert spelt(chord([echo.s(value) for value in CELERYS], echo.s())().get(timeout=WAIT)) == spelt(CELERYS)
    for countdown in (0, 0.05):
        assert spelt(task("insist").delay(CELERYS, countdown).get(timeout=WAIT)) == spelt(CELERYS)


def test_what_celery_can_send_is_told_to_links_and_errbacks(task: TaskOf, trace: Trace) -> None:
    linked, failed = uuid4().hex, uuid4().hex
    assert task("echo").apply_async((1,), link=task("spell").si(CELERYS, key=linked)).get(timeout=WAIT) == 1
    result = task("scold").apply_async(("\udcff.txt",), link_error=task("spell").si(CELERYS, key=failed))
    with pytest.raises(ValueError, match="txt"):
        result.get(timeout=WAIT)
    wait_until(lambda: trace.of(linked) and trace.of(failed), "the link and the errback")
    assert trace.of(linked) == trace.of(failed) == [ascii(CELERYS)]


@pytest.mark.parametrize("value", [2**70, "\udcff.txt", float("nan"), [None, 2**65]], ids=ascii)
def test_an_error_comes_back_with_the_arguments_it_had(task: TaskOf, value: Any) -> None:
    result = task("scold").delay(value)
    with pytest.raises(ValueError, match=r".") as caught:
        result.get(timeout=WAIT)
    assert spelt(caught.value.args) == spelt((value,))


def test_results_that_are_celerys_own_objects_are_stored_as_celery_stores_them(task: TaskOf, plain: Celery) -> None:
    hand_out = task("hand_out")
    pending = [["a", [["b", None], None]], None]
    assert hand_out.delay("result").get(timeout=WAIT) == pending
    assert hand_out.delay("group result").get(timeout=WAIT) == [["g", None], [pending]]
    assert result_from_tuple(hand_out.delay("result").get(timeout=WAIT), app=plain).parent.id == "b"
    assert plain.signature(hand_out.delay("signature").get(timeout=WAIT)) == plain.signature(
        json.loads(json.dumps(hand_out.s("x")))
    )
    steps = plain.signature(hand_out.delay("chain").get(timeout=WAIT))
    assert [step.args for step in steps.tasks] == [["x"], ["y"]]


async def test_a_result_object_is_no_result_of_a_typed_job(jobs: ContractJobs) -> None:
    handle = await jobs.hand_out.enqueue()
    with pytest.raises(JobFailed, match=r"InvalidResult: .*JSON: pending\.0: .*celery\.result\.AsyncResult"):
        await handle.result(timeout=WAIT)


@KINDS
async def test_a_typed_job_gets_and_gives_what_json_can_hold(jobs: ContractJobs, kind: str) -> None:
    for value in EXACT:
        handle = await jobs.twin("remember", kind).enqueue(value)
        assert spelt(await handle.result(timeout=WAIT)) == spelt(value)
        assert spelt((await handle.status()).arguments) == spelt({"value": value})


async def test_what_json_cannot_hold_is_refused_with_its_place_and_nothing_is_sent(jobs: ContractJobs) -> None:
    for value in BEYOND_JSON:
        job_id = str(uuid4())
        with pytest.raises(InvalidArguments, match=r"value.*: (the name is |cannot be sent as JSON)"):
            await jobs.remember.options(job_id=job_id).enqueue(value)
        with pytest.raises(UnknownJob):
            await jobs.remember.handle(job_id).status()
    with pytest.raises(InvalidArguments, match=r"value\.items\.1\.amount: cannot be sent as JSON: nan"):
        await jobs.remember.enqueue({"items": [None, {"amount": float("nan")}]})


async def test_a_result_that_json_cannot_hold_is_a_failure_that_names_its_place(jobs: ContractJobs) -> None:
    handle = await jobs.unspeakable.enqueue()
    with pytest.raises(JobFailed, match=r"InvalidResult: .* cannot be sent as JSON: items\.1\.amount: nan"):
        await handle.result(timeout=WAIT)


async def test_an_error_that_json_cannot_hold_is_a_failure_like_any_other(jobs: ContractJobs) -> None:
    handle = await jobs.misspell.enqueue()
    with pytest.raises(JobFailed, match=r"OrderRejected: .*udcff\.txt.*1180591620717411303424"):
        await handle.result(timeout=WAIT)
    assert (await handle.status()).state is JobState.FAILED
    celerys = jobs.app.AsyncResult(handle.id)
    error = await asyncio.to_thread(celerys.get, timeout=WAIT, propagate=False)
    assert error.args == ("\udcff.txt", 2**70)


async def test_what_json_can_hold_goes_through_attempts_children_and_retries_by_hand(jobs: ContractJobs) -> None:
    retried = await jobs.insist.enqueue(EXACT)
    assert spelt(await retried.result(timeout=WAIT)) == spelt(EXACT)
    parent = await jobs.bequeath.enqueue(EXACT)
    assert spelt(await parent.result(timeout=WAIT)) == spelt(EXACT)
    assert jobs.trace.of(parent.id) == [ascii(EXACT)]
    cancelled = await jobs.remember.options(delay=60).enqueue(EXACT)
    await cancelled.cancel()
    await jobs.app.client.retry(cancelled.id)
    assert spelt(await cancelled.result(timeout=WAIT)) == spelt(EXACT)


async def test_typed_jobs_hand_on_what_json_can_hold_in_celerys_canvas(jobs: ContractJobs) -> None:
    remember = jobs.remember.task
    steps = chain(remember.s(EXACT), jobs.bequeath.task.s(), jobs.echo.s(), remember.s())()
    assert spelt(await asyncio.to_thread(steps.get, timeout=WAIT)) == spelt(EXACT)


async def test_tasks_of_the_class_get_and_give_what_celery_can_send(jobs: ContractJobs) -> None:
    for task in (jobs.echo, jobs.insist_plainly):
        results = [task.delay(value) for value in CELERYS]
        given = [await asyncio.to_thread(result.get, timeout=WAIT) for result in results]
        assert spelt(given) == spelt(CELERYS)
        assert spelt([await jobs.app.client.result(result.id, WAIT) for result in results]) == spelt(CELERYS)


async def test_an_error_of_the_class_tells_its_arguments_and_is_recorded(jobs: ContractJobs) -> None:
    result = jobs.scold_plainly.delay("\udcff.txt")
    error = await asyncio.to_thread(result.get, timeout=WAIT, propagate=False)
    assert error.args == ("\udcff.txt",)
    with pytest.raises(JobFailed, match=r"ValueError: \\udcff\.txt"):
        await jobs.app.client.result(result.id, WAIT)
