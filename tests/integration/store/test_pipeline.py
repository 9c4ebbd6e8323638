"""Script calls that are sent together: each is answered, once, whatever becomes of the server and the connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import DataError, ResponseError

from celeriac.core.clock import now_ms
from celeriac.store import keys
from celeriac.store.jobs.transitions import Publication
from celeriac.store.messages import deliveries, taking
from celeriac.store.messages.deliveries import Ending, PlainResult
from celeriac.store.messages.taking import Source, Taken
from celeriac.store.redis.connection import connect
from celeriac.store.redis.pipeline import Pipeline
from celeriac.store.redis.replies import Replies
from celeriac.store.scripts.script import ScriptCall
from tests.support.broker import fragile_broker
from tests.support.waiting import eventually

QUEUE = Source("orders", ["orders"])


@asynccontextmanager
async def pipeline_to(url: str) -> AsyncGenerator[Pipeline]:
    client = connect(url, timeout=2)
    try:
        yield Pipeline(client)
    finally:
        await client.aclose()


def take(number: int, count: int = 1) -> ScriptCall[Taken]:
    return taking.take([QUEUE], worker="w", receipt=f"w/{number}", count=count, lease_ms=60_000)


def publish(number: int) -> ScriptCall[list[str]]:
    message = f"message {number}".encode()
    return deliveries.finish("w", [Ending("", publications=[Publication("orders", "orders", message, None)])])


def acknowledge(number: int) -> ScriptCall[list[str]]:
    return deliveries.finish("w", [Ending(f"w/{number}")])


async def test_calls_run_in_the_order_in_which_they_were_asked_for(broker_url: str, broker: redis.Redis) -> None:
    async with pipeline_to(broker_url) as pipeline:
        futures = [pipeline.submit(publish(number)) for number in range(1200)]  # several batches
        first = await pipeline.run(take(1, 1200))
        assert all(future.done() for future in futures)
        await pipeline.idle()
    assert [message for _, message in first.messages] == [f"message {number}".encode() for number in range(1200)]


async def test_what_is_asked_for_meanwhile_is_sent_together(
    broker_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, sent = Replies.exchange, list[int]()

    async def counted(replies: Replies, data: bytes, count: int) -> list[Any]:
        sent.append(count)
        return await exchange(replies, data, count)

    async with pipeline_to(broker_url) as pipeline:
        await pipeline.run(publish(0))
        monkeypatch.setattr(Replies, "exchange", counted)
        await asyncio.gather(*(pipeline.run(publish(number)) for number in range(300)))
    assert sum(sent) == 300
    assert len(sent) <= 2
    assert broker.llen("orders") == 301


async def test_one_faulty_call_fails_alone(broker_url: str, broker: redis.Redis) -> None:
    broker.set("celeriac:held:broken", "no hash")
    async with pipeline_to(broker_url) as pipeline:
        good = [pipeline.submit(publish(number)) for number in range(5)]
        bad = pipeline.submit(deliveries.finish("broken", [Ending("broken/1")]))
        good += [pipeline.submit(publish(number)) for number in range(5, 10)]
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await bad
        assert await asyncio.gather(*good) == [{}] * 10
    assert broker.llen("orders") == 10


@pytest.mark.parametrize("receipt", [None, True, ["a"], "\udcff"], ids=ascii)
async def test_a_call_that_cannot_be_sent_fails_alone_and_at_once(
    broker_url: str, broker: redis.Redis, receipt: Any
) -> None:
    async with pipeline_to(broker_url) as pipeline:
        good = [pipeline.submit(publish(number)) for number in range(5)]
        bad = [pipeline.submit(deliveries.finish("w", [Ending(receipt)])) for _ in range(2)]
        good += [pipeline.submit(publish(number)) for number in range(5, 10)]
        async with asyncio.timeout(5):
            for call in bad:
                with pytest.raises(DataError):
                    await call
            assert await asyncio.gather(*good) == [{}] * 10
    taken = broker.lrange("orders", 0, -1)[::-1]
    assert taken == [f"message {number}".encode() for number in range(10)]


async def test_a_reply_that_cannot_be_read_concerns_its_caller_alone(broker_url: str) -> None:
    call = publish(1)
    unreadable = ScriptCall(call.script, call.keys, call.args, lambda reply: reply["not a mapping"])
    async with pipeline_to(broker_url) as pipeline:
        futures = [pipeline.submit(call) for call in (publish(0), unreadable, publish(2))]
        with pytest.raises(TypeError):
            await futures[1]
        assert (await futures[0], await futures[2]) == ({}, {})


async def test_a_server_that_has_forgotten_the_scripts_is_told_again(broker_url: str, broker: redis.Redis) -> None:
    async with pipeline_to(broker_url) as pipeline:
        await pipeline.run(publish(0))
        broker.script_flush()
        assert await asyncio.gather(*(pipeline.run(publish(number)) for number in range(1, 20))) == [{}] * 19
        assert len((await pipeline.run(take(1, 50))).messages) == 20


async def test_who_waits_no_more_does_not_stop_the_others(broker_url: str, broker: redis.Redis) -> None:
    async with pipeline_to(broker_url) as pipeline:
        futures = [pipeline.submit(publish(number)) for number in range(3)]
        futures[1].cancel()
        assert (await futures[0], await futures[2]) == ({}, {})
        await pipeline.idle()
    assert broker.llen("orders") == 3


@pytest.mark.own_server
async def test_connections_that_are_cut(broker_url: str, broker: redis.Redis) -> None:
    broker.lpush("orders", *range(200))
    async with pipeline_to(broker_url) as pipeline:
        seen: list[bytes] = []
        for number in range(200):
            if number % 20 == 0:
                broker.client_kill_filter(_type="normal", skipme=True)
            taken = await pipeline.run(take(number))
            seen += [message for _, message in taken.messages]
        assert seen == [str(number).encode() for number in range(200)]
        assert broker.hlen(keys.held("w")) == 200
        assert await pipeline.run(acknowledge(7)) == {}
    assert broker.hlen(keys.held("w")) == 199


async def test_a_server_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    async with fragile_broker(tmp_path / "broker") as broker, pipeline_to(broker.url) as pipeline:
        with redis.Redis.from_url(broker.url) as client:
            client.lpush("orders", *range(1000))
        answered: list[bytes] = []

        async def take_all() -> None:
            for number in range(1000):
                taken = await pipeline.run(take(number))
                answered.extend(message for _, message in taken.messages)

        taking = asyncio.create_task(take_all())
        for threshold in (100, 300):
            await eventually(lambda threshold=threshold: len(answered) >= threshold)
            await broker.kill()
            await broker.start()
        await asyncio.wait_for(taking, 30)
        assert answered == [str(number).encode() for number in range(1000)]  # each once, none left out
        with redis.Redis.from_url(broker.url) as client:
            assert client.hlen(keys.held("w")) == 1000


async def test_what_nobody_waits_for_is_not_sent_for_ever(tmp_path: Path) -> None:
    async with fragile_broker(tmp_path / "broker") as fragile, pipeline_to(fragile.url) as pipeline:
        await pipeline.run(publish(0))
        await fragile.kill()
        taking = pipeline.submit(take(1))
        taking.cancel()
        async with asyncio.timeout(10):
            await pipeline.idle()


async def test_the_end_of_a_delivery_is_one_step(broker_url: str, broker: redis.Redis) -> None:
    broker.lpush("orders", *range(4))
    soon = now_ms() + 60_000
    with broker.pubsub() as listener:
        listener.subscribe("result-0")
        listener.get_message(timeout=5)
        async with pipeline_to(broker_url) as pipeline:
            await pipeline.run(take(0, 3))
            follow = [Publication("orders", "orders", b"next", None), Publication("orders", "orders", b"late", soon)]
            endings = [
                Ending("w/0", PlainResult("result-0", b"kept a while", 60_000), follow),
                Ending("w/1", PlainResult("result-1", b"kept for ever", 0)),
                Ending(
                    "w/9", PlainResult("result-9", b"too late", 0), [Publication("orders", "orders", b"never", None)]
                ),
                Ending("w/2"),
            ]
            assert await pipeline.run(deliveries.finish("w", endings)) == {"w/9": ""}
            # Sent again, as after a lost reply: all is refused, and nothing is published twice.
            assert await pipeline.run(deliveries.finish("w", endings)) == dict.fromkeys(
                ["w/0", "w/1", "w/9", "w/2"], ""
            )
        told = listener.get_message(timeout=5)
    assert told is not None
    assert told["data"] == b"kept a while"
    assert (broker.get("result-0"), broker.get("result-1"), broker.get("result-9")) == (
        b"kept a while",
        b"kept for ever",
        None,
    )
    assert 0 < broker.pttl("result-0") <= 60_000
    assert broker.ttl("result-1") == -1
    assert broker.lrange("orders", 0, -1) == [b"next", b"3"]
    assert broker.zcard(keys.delayed("orders")) == 1
    assert broker.hlen(keys.held("w")) == 0
