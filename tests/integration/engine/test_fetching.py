"""How messages come to an asyncio worker: at once when it is idle, each once, and none stays in its hold unseen."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from celeriac.core.clock import now_ms
from celeriac.core.inbound import Arrival
from celeriac.engine.aio.fetching import Fetcher
from celeriac.engine.lease import Lease
from celeriac.store import keys
from celeriac.store.messages.deliveries import Ending, finish
from celeriac.store.messages.taking import Source
from celeriac.store.redis.connection import connect, connect_blocking
from celeriac.store.redis.pipeline import Pipeline
from tests.support.broker import fragile_broker
from tests.support.waiting import eventually

ORDERS = Source("orders", ["orders", "orders\x06\x163"])
MAILS = Source("mails", ["mails", "mails\x06\x163"])


def message(number: int) -> bytes:
    return json.dumps({"body": "", "headers": {"id": f"job-{number}"}, "properties": {"delivery_tag": "t"}}).encode()


class LongLease(Lease):
    """Needs no thread that renews it, which would outlast the test."""

    def keep(self) -> None:
        self.hold.renew()


@dataclass
class Worker:
    """What it was given, in order; it may acknowledge each at once."""

    pipeline: Pipeline
    lease: Lease
    acknowledges: bool
    limit: int
    seen: list[tuple[str, str]] = field(default_factory=list)
    fetcher: Fetcher = field(init=False)

    def deliver(self, receipt: str, queue: str, arrival: Arrival, has_begun: bool) -> None:
        self.seen.append((receipt, arrival.task_id))
        if self.acknowledges:
            self.acknowledge(receipt)

    def acknowledge(self, receipt: str) -> None:
        self.pipeline.submit(finish(self.lease.worker, [Ending(receipt)]))

    @property
    def jobs(self) -> list[str]:
        return [job for _, job in self.seen]

    def room(self) -> int:
        return self.limit - len(self.seen)


@asynccontextmanager
async def worker(url: str, *sources: Source, acknowledges: bool = True, limit: int = 1000) -> AsyncGenerator[Worker]:
    client, blocking = connect(url, timeout=2), connect_blocking(url, timeout=2)
    pipeline, lease = Pipeline(client), LongLease(blocking, 60.0)
    one = Worker(pipeline, lease, acknowledges, limit)
    one.fetcher = Fetcher(client, pipeline, lease, room=one.room, is_full=lambda: one.room() <= 0, deliver=one.deliver)
    for source in sources or (ORDERS,):
        one.fetcher.add(source)
    serving = asyncio.create_task(one.fetcher.serve())
    try:
        yield one
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await pipeline.idle()
        await one.fetcher.aclose()
        await client.aclose()
        blocking.close()


def blocked(broker: redis.Redis) -> int:
    """How many clients wait in this database; other tests' workers wait in others of the same server."""
    database = str(broker.connection_pool.connection_kwargs["db"])
    return sum(client["db"] == database and "b" in client["flags"] for client in broker.client_list())


async def test_an_idle_worker_is_given_a_message_in_the_step_in_which_it_comes(
    broker_url: str, broker: redis.Redis
) -> None:
    async with worker(broker_url, acknowledges=False) as one:
        await eventually(lambda: blocked(broker) == 2 and broker.zcard(keys.LEASES) == 1)
        broker.lpush("orders", message(1))
        held = broker.hkeys(keys.held(one.lease.worker))  # in the server's next turn: the worker was not asked
        assert len(held) == 1 and broker.llen("orders") == 0
        await eventually(lambda: one.seen == [(held[0].decode(), "job-1")])


async def test_a_worker_that_has_something_to_do_still_takes_what_it_has_room_for(
    broker_url: str, broker: redis.Redis
) -> None:
    async with worker(broker_url, acknowledges=False, limit=3) as one:
        await eventually(lambda: blocked(broker) == 2)
        for number in range(5):
            broker.lpush("orders", message(number))
        await eventually(lambda: one.jobs == ["job-0", "job-1", "job-2"])
        # A look that was under way as the first came by a claim takes one too many, and gives it back.
        await eventually(lambda: broker.llen("orders") == 2)
        one.limit = 5
        one.fetcher.changed.set()
        await eventually(lambda: one.jobs == [f"job-{number}" for number in range(5)])


async def test_what_was_claimed_from_a_queue_that_is_not_wanted_any_more_is_given_back(
    broker_url: str, broker: redis.Redis
) -> None:
    async with worker(broker_url, ORDERS, MAILS) as one:
        await eventually(lambda: blocked(broker) == 4 and broker.zcard(keys.LEASES) == 1)
        one.fetcher.remove("mails")
        broker.lpush("mails", message(1))
        broker.lpush("orders", message(2))
        await eventually(lambda: one.jobs == ["job-2"])
        await eventually(lambda: broker.lrange("mails", 0, -1) == [message(1)])
        await eventually(lambda: not broker.exists(keys.held(one.lease.worker)))


@pytest.mark.own_server
async def test_messages_come_once_each_while_connections_are_cut(broker_url: str, broker: redis.Redis) -> None:
    async with worker(broker_url) as one:
        for number in range(60):
            await eventually(lambda: blocked(broker) == 2)
            with broker.pipeline(transaction=number % 2 == 0) as together:
                together.lpush("orders", message(number))
                if number % 3 == 0:  # in the same turn of the server: what it has replied is lost
                    together.client_kill_filter(_type="normal", skipme=True)
                together.execute()
            await eventually(lambda number=number: len(one.seen) == number + 1)
        assert Counter(one.jobs) == Counter(f"job-{number}" for number in range(60))
        await eventually(lambda: not broker.exists(keys.held(one.lease.worker)))


async def test_a_server_that_is_killed_as_a_message_comes(tmp_path: Path) -> None:
    async with fragile_broker(tmp_path / "broker") as server, worker(server.url) as one:
        for number in range(5):
            with redis.Redis.from_url(server.url) as broker:
                await eventually(lambda broker=broker: blocked(broker) == 2)
                broker.lpush("orders", message(number))
            await server.kill()
            await server.start()
            await eventually(lambda number=number: f"job-{number}" in one.jobs)
        with redis.Redis.from_url(server.url) as broker:
            await eventually(lambda: not broker.exists(keys.held(one.lease.worker)) and not broker.llen("orders"))


async def test_delayed_messages_come_when_they_are_due(broker_url: str, broker: redis.Redis) -> None:
    async with worker(broker_url) as one:
        await eventually(lambda: blocked(broker) == 2)
        due = now_ms() + 300
        broker.zadd(keys.delayed("orders"), {b"6:orders" + message(1): due})
        broker.publish(keys.delayed("orders"), due)
        await eventually(lambda: one.jobs == ["job-1"])
        assert due <= now_ms() < due + 5000


async def test_what_counts_as_acknowledged_when_it_is_taken_is_taken_only_when_there_is_room(
    broker_url: str, broker: redis.Redis
) -> None:
    unheld = Source("orders", ["orders", "orders\x06\x163"], held=False)
    async with worker(broker_url, unheld, limit=1) as one:
        await eventually(lambda: blocked(broker) == 2 and broker.zcard(keys.LEASES) == 1)
        broker.lpush("orders", message(1), message(2))
        broker.lpush("orders\x06\x163", message(3))
        await eventually(lambda: one.jobs == ["job-1"] and blocked(broker) == 0)
        assert broker.llen("orders") == 1 and broker.llen("orders\x06\x163") == 1


async def test_no_more_is_delivered_than_there_is_room_for_when_a_claim_is_met_while_messages_are_asked_for(
    broker_url: str, broker: redis.Redis
) -> None:
    for _ in range(10):  # a worker has just begun to wait, and looks once more as soon as it hears of delays
        async with worker(broker_url, acknowledges=False, limit=1) as one:
            await eventually(lambda: blocked(broker) == 2)
            broker.lpush("orders", message(0))
            broker.lpush("orders", message(1))
            held = keys.held(one.lease.worker)
            await eventually(lambda one=one, held=held: one.jobs and broker.hlen(held) == 1)
            assert one.jobs == ["job-0"]
            assert broker.lrange("orders", 0, -1) == [message(1)]
        broker.flushdb()
