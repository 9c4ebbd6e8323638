"""dramatiq: actors in threads of several processes."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, Retries, TimeLimit
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

# `maintenance_chance`: how many of a million commands look for the messages of dead workers.
broker = RedisBroker(
    url=broker_url(),
    middleware=[AgeLimit(), TimeLimit(), Retries()],
    heartbeat_timeout=int(variant("heartbeat_timeout", "60000")),
    maintenance_chance=int(variant("maintenance_chance", "1000")),
)
broker.add_middleware(Results(backend=RedisBackend(url=broker_url())))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(number: int, text: str) -> int:
    record(number)
    return number


@dramatiq.actor(store_results=True)
def nap(number: int, text: str) -> int:
    record(number)
    time.sleep(NAP)
    return number


@dramatiq.actor(store_results=True)
def long(number: int, text: str) -> int:
    record(number)
    time.sleep(LONG)
    return number


ACTORS = {"noop": noop, "noop_def": noop, "nap": nap, "long": long}


class Actors:
    """A client whose calls block, and send one message each, as dramatiq's API does."""

    async def enqueue(self, task: str, number: int) -> None:
        ACTORS[task].send(number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            ACTORS[task].send(number, TEXT)

    async def call(self, task: str, number: int) -> int:
        return ACTORS[task].send(number, TEXT).get_result(block=True, timeout=60_000)


@asynccontextmanager
async def client() -> AsyncGenerator[Actors]:
    yield Actors()
    broker.close()
