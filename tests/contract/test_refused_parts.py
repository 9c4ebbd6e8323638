"""What follows in Celery's canvas from a task whose message is refused at the door: the same as when it fails."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from celery import chain, chord, group
from celery.exceptions import ChordError
from celery.result import AsyncResult
from redis.asyncio import Redis

from celeriac.store.redis.connection import connect
from tests.contract.conftest import TaskOf
from tests.support.contract_jobs import ContractJobs, Trace
from tests.support.forgeries import Forgery, Message, with_body, with_header
from tests.support.waiting import eventually

#: A queue that no worker serves: messages are taken out of it, and forged.
NOWHERE = "nowhere"
MONEY = {"__type__": "money", "__value__": 5}


class Canvas(NamedTuple):
    """Tasks of an application: `give` returns its argument, `complain` tells which error it was called with."""

    give: Any
    complain: Any
    trace: Trace
    broker: Any


def with_arguments(args: Any, kwargs: Any) -> Forgery:
    def forge(message: Message) -> bytes:
        embed = json.loads(b64decode(message["body"]))[2]
        return with_body(json.dumps([args, kwargs, embed]))(message)

    return forge


FORGERIES: dict[str, Forgery] = {
    "header": with_header("retries", "x"),
    "unknown task": with_header("task", "nobody.knows"),
    "arguments": with_arguments(None, {}),
}
BY = pytest.mark.parametrize("by", FORGERIES)


@pytest_asyncio.fixture
async def ours(jobs: ContractJobs, pool_url: str) -> AsyncGenerator[Canvas]:
    broker: Redis = connect(pool_url, timeout=5)
    yield Canvas(jobs.echo, jobs.complain, jobs.trace, broker)
    await broker.aclose()


@pytest_asyncio.fixture
async def plains(task: TaskOf, trace: Trace, plain_url: str) -> AsyncGenerator[Canvas]:
    broker: Redis = connect(plain_url, timeout=5)
    yield Canvas(task("echo"), task("echo").app.tasks["orders.complain"], trace, broker)
    await broker.aclose()


async def get(result: AsyncResult) -> Any:
    """The outcome of that task alone: with its parents, it would raise the first one's error."""
    return await asyncio.to_thread(result.app.AsyncResult(result.id).get, timeout=60)


async def refuse(canvas: Canvas, forge: Forgery) -> str:
    """Forge the message that waits nowhere, and have it refused; its id."""
    message = json.loads(await canvas.broker.rpop(NOWHERE))
    await canvas.broker.lpush("celery", forge(message))
    return str(message["headers"]["id"])


async def told(canvas: Canvas, key: str) -> list[str]:
    await eventually(lambda: canvas.trace.of(key), "the errback is called")
    return canvas.trace.of(key)


async def check_chord(canvas: Canvas, forge: Forgery, error: str) -> None:
    of_part, of_body = uuid4().hex, uuid4().hex
    part = canvas.give.si(1).set(queue=NOWHERE).on_error(canvas.complain.s(key=of_part))
    body = canvas.give.s().on_error(canvas.complain.s(key=of_body))
    result = chord([canvas.give.si(0), part, canvas.give.si(2)], body)()
    part_id = await refuse(canvas, forge)
    with pytest.raises(ChordError, match=rf"Dependency {part_id} raised ({error}|Task of kind 'nobody.knows')"):
        await get(result)
    assert (await told(canvas, of_part), await told(canvas, of_body)) == (
        [f"complaint {error}"],
        ["complaint ChordError"],
    )


async def check_chain(canvas: Canvas, forge: Forgery, error: str) -> None:
    key = uuid4().hex
    first = canvas.give.si(1).set(queue=NOWHERE)
    result = chain(first, canvas.give.s(), canvas.give.s()).apply_async(link_error=canvas.complain.s(key=key))
    await refuse(canvas, forge)
    with pytest.raises(Exception, match=r".") as caught:
        await get(result)
    assert type(caught.value).__name__ == error
    assert await told(canvas, key) == [f"complaint {error}"]


def error_of(by: str) -> str:
    return "NotRegistered" if by == "unknown task" else "InvalidMessage"


@BY
async def test_a_chord_fails_with_a_part_whose_message_is_refused(ours: Canvas, by: str) -> None:
    await check_chord(ours, FORGERIES[by], error_of(by))


@BY
async def test_a_chain_fails_with_a_step_whose_message_is_refused(ours: Canvas, by: str) -> None:
    await check_chain(ours, FORGERIES[by], error_of(by))


@BY
async def test_a_chord_of_a_plain_application_fails_with_a_part_whose_message_is_refused(
    plains: Canvas, by: str
) -> None:
    await check_chord(plains, FORGERIES[by], error_of(by))


async def test_a_chain_of_a_plain_application_fails_with_a_step_whose_message_is_refused(plains: Canvas) -> None:
    await check_chain(plains, FORGERIES["header"], "InvalidMessage")


async def test_it_does_so_where_the_arguments_cannot_be_decoded(ours: Canvas) -> None:
    await check_chord(ours, with_arguments([], {"value": MONEY}), "InvalidMessage")


async def test_a_chord_fails_with_a_typed_part_whose_message_is_refused(jobs: ContractJobs, ours: Canvas) -> None:
    typed = ours._replace(give=jobs.remember.task)
    for by, forge in FORGERIES.items():
        await check_chord(typed, forge, error_of(by))


async def test_a_group_in_a_chord_counts_its_refused_parts(ours: Canvas) -> None:
    parts = group(ours.give.si(1).set(queue=NOWHERE), ours.give.si(2))
    result = chord([parts, ours.give.si(3)], ours.give.s())()
    await refuse(ours, FORGERIES["header"])
    with pytest.raises(ChordError, match="InvalidMessage"):
        await get(result)
