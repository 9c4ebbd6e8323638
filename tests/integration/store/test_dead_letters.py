"""Messages that were given up: kept with their cause, replayed into their queue, dropped."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
import redis
from redis.asyncio import Redis

from celeriac import WrongState
from celeriac.store import keys
from celeriac.store.messages import taking
from celeriac.store.messages.dead_letters import DeadLetter, dead_letters, drop, replay
from celeriac.store.messages.taking import Source
from celeriac.store.messages.worker_hold import WorkerHold
from celeriac.store.redis.connection import connect
from celeriac.store.redis.runner import run_blocking

QUEUE = "mail"
LOW = "mail\x06\x163"


@pytest_asyncio.fixture
async def client(broker_url: str) -> AsyncGenerator[Redis]:
    connection = connect(broker_url, timeout=5)
    yield connection
    await connection.aclose()


def message(number: int) -> bytes:
    return json.dumps({"body": number, "headers": {"id": f"job-{number}", "task": "send"}, "properties": {}}).encode()


def give_up(broker: redis.Redis, raw: bytes, list_key: str = QUEUE, cause: str = "rejected") -> bool:
    broker.lpush(list_key, raw)
    source = Source(QUEUE, [QUEUE, LOW])
    run_blocking(broker, taking.take([source], worker="w", receipt="w/1", count=1, lease_ms=60_000))
    return WorkerHold(broker, "w", lease=60).give_up("w/1", cause)


async def everything(client: Redis) -> list[DeadLetter]:
    return [letter async for letter in dead_letters(client)]


async def test_a_dead_letter_tells_what_it_was_and_why_it_was_given_up(broker: redis.Redis, client: Redis) -> None:
    assert give_up(broker, message(1), LOW, "ValueError: too late")
    [letter] = await everything(client)
    assert (letter.job_id, letter.task, letter.queue, letter.list_key) == ("job-1", "send", QUEUE, LOW)
    assert (letter.cause, letter.losses, letter.message) == ("ValueError: too late", 0, message(1))
    assert abs(datetime.now(UTC) - letter.at) < timedelta(seconds=10)
    assert broker.exists(keys.held("w")) == 0


def test_what_is_held_no_more_does_not_become_one(broker: redis.Redis) -> None:
    assert not WorkerHold(broker, "w", lease=60).give_up("w/1", "rejected")
    assert broker.exists(keys.DEAD) == 0


async def test_they_are_listed_from_the_newest_to_the_oldest_however_many(broker: redis.Redis, client: Redis) -> None:
    for number in range(250):
        assert give_up(broker, message(number))
    assert [letter.job_id for letter in await everything(client)] == [f"job-{n}" for n in reversed(range(250))]


async def test_a_replayed_one_goes_back_as_if_it_had_never_been_delivered(broker: redis.Redis, client: Redis) -> None:
    give_up(broker, b'{"celeriac-redelivered":5,"celeriac-limited":"a \\"task\\"",' + message(1)[1:], LOW)
    [letter] = await everything(client)
    assert letter.losses == 5
    assert await replay(client, letter)
    assert broker.lrange(LOW, 0, -1) == [message(1)]
    assert await everything(client) == []
    assert not await replay(client, letter)  # as somebody does who has listed it too
    assert broker.llen(LOW) == 1


async def test_one_that_is_dropped_is_gone(broker: redis.Redis, client: Redis) -> None:
    give_up(broker, message(1))
    [letter] = await everything(client)
    assert await drop(client, letter)
    assert not await drop(client, letter)
    assert await everything(client) == []
    assert broker.llen(QUEUE) == 0


@pytest.mark.parametrize("state", ["failed", "dead", "cancelled"])
async def test_the_record_of_a_replayed_job_says_that_it_is_queued(
    broker: redis.Redis, client: Redis, state: str
) -> None:
    give_up(broker, message(1))
    broker.hset(keys.record("job-1"), mapping={"state": state, "error": "{}"})
    [letter] = await everything(client)
    assert await replay(client, letter)
    assert broker.lrange(QUEUE, 0, -1) == [message(1)]
    assert broker.hmget(keys.record("job-1"), "state", "error") == [b"queued", None]
    assert await everything(client) == []


async def test_a_job_that_has_succeeded_is_not_run_again(broker: redis.Redis, client: Redis) -> None:
    give_up(broker, message(1))
    broker.hset(keys.record("job-1"), "state", "succeeded")
    [letter] = await everything(client)
    with pytest.raises(WrongState, match="job-1 has succeeded"):
        await replay(client, letter)
    assert await everything(client) == [letter]


async def test_a_job_whose_record_waits_for_its_message_gets_it_back(broker: redis.Redis, client: Redis) -> None:
    give_up(broker, message(1))
    broker.hset(keys.record("job-1"), "state", "queued")
    [letter] = await everything(client)
    assert await replay(client, letter)
    assert broker.lrange(QUEUE, 0, -1) == [message(1)]


async def test_what_an_earlier_version_kept_apart_is_a_dead_letter(broker: redis.Redis, client: Redis) -> None:
    broker.lpush(keys.UNREADABLE, b"no JSON", message(1))
    newest, oldest = await everything(client)
    assert (oldest.message, newest.message) == (b"no JSON", message(1))
    assert (newest.job_id, newest.queue, newest.cause) == ("job-1", "", "could not be read")
    assert broker.exists(keys.UNREADABLE) == 0
    with pytest.raises(WrongState, match="kept it without its queue"):
        await replay(client, newest)
    assert await drop(client, newest)
    assert await everything(client) == [oldest]


async def test_what_is_shown_of_one_is_printable_and_bounded(broker: redis.Redis, client: Redis) -> None:
    give_up(broker, b"\x1b[31m\n\xff\x00" + b"x" * 10_000)
    [letter] = await everything(client)
    assert letter.shown == r"\x1b[31m\n\xff\x00" + "x" * 192 + "..."


@pytest.mark.parametrize("raw", [b"no JSON", b"[]", b'{"headers": 7}'])
async def test_one_that_cannot_be_read_can_be_listed_and_replayed(
    broker: redis.Redis, client: Redis, raw: bytes
) -> None:
    give_up(broker, raw)
    [letter] = await everything(client)
    assert (letter.job_id, letter.task) == ("", "")
    assert await replay(client, letter)
    assert broker.lrange(QUEUE, 0, -1) == [raw]
