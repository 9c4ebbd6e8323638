"""Script calls on a connection of their own: a reply belongs to its call, whatever becomes of connection and caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ResponseError

from celeriac.store import keys
from celeriac.store.messages import deliveries, worker_leases
from celeriac.store.messages.deliveries import Ending
from celeriac.store.redis.connection import Client, connect
from celeriac.store.redis.wire import Wire
from tests.support.waiting import eventually


def blocked(broker: redis.Redis) -> int:
    """How many clients wait in this database; other tests' workers wait in others of the same server."""
    database = str(broker.connection_pool.connection_kwargs["db"])
    return sum(client["db"] == database and "b" in client["flags"] for client in broker.client_list())


@asynccontextmanager
async def wire_to(url: str) -> AsyncGenerator[tuple[Wire, Client]]:
    client = connect(url, timeout=2)
    try:
        yield Wire(client), client
    finally:
        await client.aclose()


async def test_replies_come_in_the_order_of_their_commands(broker_url: str) -> None:
    async with wire_to(broker_url) as (wire, _):
        replies = await wire.send([("SET", "a", "1"), ("GET", "b"), ("LPUSH", "a", "2"), ("GET", "a")])
        assert (replies[0], replies[1], replies[3]) == (b"OK", None, b"1")
        assert isinstance(replies[2], ResponseError) and str(replies[2]).startswith("WRONGTYPE")


async def test_a_script_that_fails_is_an_error_and_the_connection_goes_on(broker_url: str, broker: redis.Redis) -> None:
    broker.set(keys.held("broken"), "no hash")
    async with wire_to(broker_url) as (wire, _):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await wire.run(deliveries.finish("broken", [Ending("broken/1")]))
        assert await wire.run(worker_leases.renew("w", 1000)) is False
        assert await wire.run(worker_leases.renew("w", 1000)) is True


async def test_a_script_that_the_server_has_forgotten_is_sent_again(broker_url: str, broker: redis.Redis) -> None:
    async with wire_to(broker_url) as (wire, _):
        for _ in range(3):
            broker.script_flush()
            await wire.run(worker_leases.renew("w", 1000))
    assert broker.zcard(keys.LEASES) == 1


@pytest.mark.own_server
async def test_a_connection_that_was_cut_since_its_last_use_is_replaced(broker_url: str, broker: redis.Redis) -> None:
    async with wire_to(broker_url) as (wire, _):
        for known in (False, True, True):
            assert await wire.run(worker_leases.renew("w", 60_000)) is known
            broker.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.own_server
async def test_what_is_sent_once_only_says_that_the_connection_was_lost(broker_url: str, broker: redis.Redis) -> None:
    async with wire_to(broker_url) as (wire, _):
        waiting = asyncio.create_task(wire.send([("BLPOP", "nothing", "0")]))
        await eventually(lambda: blocked(broker) == 1)
        broker.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(RedisConnectionError):
            await waiting
        assert await wire.send([("PING",)]) == [b"PONG"]


async def test_who_gives_up_leaves_no_reply_to_the_next(broker_url: str, broker: redis.Redis) -> None:
    async with wire_to(broker_url) as (wire, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.send([("BLPOP", "nothing", "0")])
        assert await wire.send([("ECHO", "mine")]) == [b"mine"]
        await eventually(lambda: blocked(broker) == 0)


async def test_what_cannot_be_sent_is_refused_before_anything_is(broker_url: str, broker: redis.Redis) -> None:
    async with wire_to(broker_url) as (wire, _):
        with pytest.raises(DataError):
            await wire.send([("SET", "a", "1"), ("EVALSHA", object())])
        assert broker.get("a") is None
        assert await wire.send([("PING",)]) == [b"PONG"]


async def test_it_ends_with_its_client_without_delay(broker_url: str, broker: redis.Redis) -> None:
    client = connect(broker_url, timeout=30)
    wire = Wire(client)
    (own,) = await wire.send([("CLIENT", "ID")])
    async with asyncio.timeout(10):
        await client.aclose()
    await eventually(lambda: str(own) not in {known["id"] for known in broker.client_list()})
