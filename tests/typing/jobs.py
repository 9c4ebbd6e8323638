"""What a type checker has to accept of jobs, and to refuse (where a comment names the rule). Never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from celeriac import Call, Celeriac, Job, JobContext, JobHandle, Retry

app = Celeriac("typing")


@dataclass
class Receipt:
    number: int


@app.job
async def bare(user_id: int, *, greeting: str = "hello") -> Receipt: ...


@app.job(retry=Retry(attempts=3), timeout=30)
async def with_context(job: JobContext, user_id: int) -> Receipt: ...


@app.job
def in_a_thread(user_id: int) -> str: ...


@app.job(queue="slow")
def in_a_thread_with_context(job: JobContext, user_id: int) -> list[str]: ...


@app.job(isolate=True, timeout=60)
def in_a_process(job: JobContext, user_id: int) -> int: ...


@app.job()
async def without_arguments() -> None: ...


async def right() -> None:
    handle = await bare.enqueue(7, greeting="hi")
    assert_type(handle, JobHandle[Receipt])
    assert_type(await handle.result(timeout=60), Receipt)
    assert_type(await (await with_context.enqueue(user_id=7)).result(), Receipt)
    assert_type(await (await in_a_thread.enqueue(7)).result(), str)
    assert_type(await (await in_a_thread_with_context.enqueue(7)).result(), list[str])
    assert_type(await (await in_a_process.enqueue(7)).result(), int)
    assert_type(await (await without_arguments.enqueue()).result(), None)
    assert_type(bare.call(user_id=7), Call[Receipt])
    assert_type(await bare.enqueue_many(bare.call(n) for n in range(3)), list[JobHandle[Receipt]])
    assert_type(await bare.enqueue_many([{"user_id": 7}]), list[JobHandle[Receipt]])
    assert_type(await bare.options(delay=60).enqueue(user_id=7), JobHandle[Receipt])
    takes_a_job(bare)
    await with_context(7)
    in_a_thread(user_id=7)
    app.schedule("hourly", bare.call(user_id=7), every=3600)


def takes_a_job(job: Job[..., Receipt]) -> None: ...


async def wrong() -> None:
    await bare.enqueue("seven")  # error: reportArgumentType
    await bare.enqueue()  # error: reportCallIssue
    await bare.enqueue(user_id=7, colour="red")  # error: reportCallIssue
    await bare.enqueue(7, greeting=8)  # error: reportArgumentType
    await with_context.enqueue(user_id="seven")  # error: reportArgumentType
    await with_context.enqueue(user_id=7, job=None)  # error: reportCallIssue
    await in_a_thread.enqueue(None)  # error: reportArgumentType
    await in_a_thread_with_context.enqueue([7])  # error: reportArgumentType
    await without_arguments.enqueue(7)  # error: reportCallIssue
    bare.call(user_id=7.5)  # error: reportArgumentType
    await bare.enqueue_many([in_a_thread.call(7)])  # error: reportArgumentType
    in_a_thread("seven")  # error: reportArgumentType
    bare.delay(7)  # error: reportUnknownMemberType, reportAttributeAccessIssue, reportFunctionMemberAccess
    bare.options(colour="red")  # error: reportCallIssue
    number: int = await (await bare.enqueue(7)).result()  # error: reportAssignmentType
    takes_a_job(in_a_thread)  # error: reportArgumentType
    app.job(timeout="soon")  # error: reportCallIssue, reportArgumentType
    print(number)
