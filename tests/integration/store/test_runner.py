"""Each way to send a script call, to a server that does not know the script."""

from __future__ import annotations

from typing import Any, cast

import redis

from celeriac.store.messages import worker_leases
from celeriac.store.messages.deliveries import wait_for
from celeriac.store.redis.connection import connect
from celeriac.store.redis.runner import receive, run, run_blocking, send
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


def test_a_call_that_is_answered_later_is_to_be_made_again(broker_url: str) -> None:
    with redis.Redis.from_url(broker_url, single_connection_client=True) as client:
        client.script_flush()
        send(client, CALL.command)
        assert receive(client, CALL) is None
        send(client, CALL.command)
        assert receive(client, CALL) is False
        cast(Any, client).lpush("list", "message")
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
