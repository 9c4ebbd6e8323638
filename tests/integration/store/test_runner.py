"""Each way to send a script call, to a server that does not know the script."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis
from redis.exceptions import ResponseError

from celeriac.core.routing import Routing
from celeriac.store import keys
from celeriac.store.jobs import reader, results
from celeriac.store.messages import queues, worker_leases
from celeriac.store.messages.taking import wait_for
from celeriac.store.redis.connection import connect
from celeriac.store.redis.runner import atomically, receive, run, run_blocking, send, together
from celeriac.store.redis.wire import Wire

CALL = worker_leases.renew("w", 60_000)


async def test_a_call_is_sent_with_its_source_once(broker_url: str, broker: redis.Redis) -> None:
    client = connect(broker_url, timeout=2)
    broker.script_flush()
    try:
        assert await run(client, CALL) is False
        assert broker.script_exists(CALL.script.sha) == [True]
        assert await run(client, CALL) is True
    finally:
        await client.aclose()
    broker.script_flush()
    assert run_blocking(broker, CALL) is True
    assert broker.script_exists(CALL.script.sha) == [True]


async def test_what_is_read_starts_no_task_that_a_job_could_cancel(broker_url: str, broker: redis.Redis) -> None:
    broker.zadd(keys.JOB_INDEX, {"job": 1})
    started: list[Any] = []

    def note(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        started.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    client = connect(broker_url, timeout=2)
    asyncio.get_running_loop().set_task_factory(note)
    try:
        await results.put_outcome(client, "job", b'{"status": "SUCCESS"}', 60_000)
        assert await results.get_outcome(client, "job") == {"status": "SUCCESS"}
        assert (await reader.standings(client, ["job"]))["job"].run is None
        assert (await reader.list_records(client, cursor=None, limit=1, matches=bool)) == ([], None)
        await reader.forget(client, "job")
        assert (await queues.depths(client, Routing(), ["other"]))[1].ready == 0
    finally:
        asyncio.get_running_loop().set_task_factory(None)
        await client.aclose()
    assert started == []


async def test_replies_of_a_command_that_fails_are_not_taken_for_those_of_the_next(
    broker_url: str, broker: redis.Redis
) -> None:
    broker.lpush("list", "message")
    client = connect(broker_url, timeout=2, max_connections=1)
    try:
        for way in (together, atomically):
            with pytest.raises(ResponseError, match="wrong kind of value"):
                await way(client, [("HGET", "list", "a"), ("LLEN", "list")])
            assert await way(client, [("LLEN", "list"), ("ECHO", "b")]) == [1, b"b"]
    finally:
        await client.aclose()


def test_a_call_that_is_answered_later_is_to_be_made_again(broker_url: str) -> None:
    with cast(Any, redis.Redis).from_url(broker_url, single_connection_client=True) as client:
        client.script_flush()
        send(client, CALL.command)
        assert receive(client, CALL) is None
        send(client, CALL.command)
        assert receive(client, CALL) is False
        client.lpush("list", "message")
        send(client, wait_for("list", 5))
        assert receive(client, None) is None
        assert run_blocking(client, CALL) is True


async def test_a_call_behind_a_wait_is_not_made_for_an_unknown_script(broker_url: str, broker: redis.Redis) -> None:
    broker.lpush("list", "message")
    client = connect(broker_url, timeout=2)
    try:
        wire = Wire(client)
        await wire.connect()
        broker.script_flush()
        assert await wire.run_after(wait_for("list", 5), CALL) is None
        await wire.run(CALL)
        assert await wire.run_after(wait_for("list", 5), CALL) is True
    finally:
        await client.aclose()
    assert broker.lrange("list", 0, -1) == [b"message"]
