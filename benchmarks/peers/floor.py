"""The floor: a job queue on lists, written for this benchmark by hand, without a framework.

It delivers at least once, as the others do. A hash holds a message from when it is taken until its result is stored. If
its worker does not renew its lease, the message goes back to the queue. There are no retries, time limits, priorities
or names. The distance to the floor is what a framework costs.
"""

# pyright: basic
from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import uvloop
from redis.asyncio import Redis

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

QUEUE = "floor:queue"
WORKERS = "floor:workers"  # name and when its lease ends
RESULTS = "floor:results"
TAKE = 250  # messages of one round trip
LIMIT = int(variant("limit", "1000"))  # jobs in flight
LEASE = 5.0
ID = 32  # characters in front of each message

FETCH = """
local messages = redis.call('RPOP', KEYS[1], ARGV[1]) or {}
for _, message in ipairs(messages) do
  redis.call('HSET', KEYS[2], string.sub(message, 1, 32), message)
end
return messages
"""

FINISH = """
for i = 1, #ARGV, 2 do
  local id, result = ARGV[i], ARGV[i + 1]
  redis.call('SETEX', 'floor:result:' .. id, 3600, result)
  redis.call('PUBLISH', KEYS[3], id .. result)
  if redis.call('HDEL', KEYS[1], id) == 0 then
    for _, message in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
      if string.sub(message, 1, 32) == id then redis.call('LREM', KEYS[2], 1, message) end
    end
  end
end
"""

RENEW = """
redis.call('ZADD', KEYS[2], ARGV[1] + ARGV[3], ARGV[2])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], 0, ARGV[1])) do
  for _, message in ipairs(redis.call('HVALS', 'floor:held:' .. gone)) do redis.call('RPUSH', KEYS[1], message) end
  while redis.call('LMOVE', 'floor:waiting:' .. gone, KEYS[1], 'RIGHT', 'RIGHT') do end
  redis.call('DEL', 'floor:held:' .. gone)
  redis.call('ZREM', KEYS[2], gone)
end
"""


async def noop(number: int, text: str) -> int:
    record(number)
    return number


async def nap(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


async def long(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


FUNCTIONS = {"noop": noop, "noop_def": noop, "nap": nap, "long": long}


class Worker:
    """Takes, runs and finishes jobs in batches, on two connections and one event loop."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.name = uuid4().hex
        self.held, self.waiting = f"floor:held:{self.name}", f"floor:waiting:{self.name}"
        self.fetch = redis.register_script(FETCH)
        self.finish = redis.register_script(FINISH)
        self.renewal = redis.register_script(RENEW)
        self.running: set[asyncio.Task[None]] = set()
        self.outcomes: list[bytes] = []
        self.flushing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        await self.renew_once()
        renewing = asyncio.create_task(self.renew())
        while not renewing.done():
            if len(self.running) >= LIMIT:
                await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
            for message in await self.take(min(TAKE, LIMIT - len(self.running))):
                task = asyncio.create_task(self.execute(message))
                self.running.add(task)
                task.add_done_callback(self.running.discard)
        await renewing  # raises the error that ended it

    async def take(self, most: int) -> list[bytes]:
        if messages := await self.fetch(keys=[QUEUE, self.held], args=[most]):
            return messages
        message: Any = await self.redis.blmove(QUEUE, self.waiting, 1, "RIGHT", "LEFT")
        return [message] if message else []

    async def execute(self, message: bytes) -> None:
        task, arguments = json.loads(message[ID:])
        result = await FUNCTIONS[task](*arguments)
        self.outcomes += (message[:ID], json.dumps(result).encode())
        if self.flushing is None:
            self.flushing = asyncio.create_task(self.flush())

    async def flush(self) -> None:
        while self.outcomes:
            batch, self.outcomes = self.outcomes, []
            await self.finish(keys=[self.held, self.waiting, RESULTS], args=batch)
        self.flushing = None

    async def renew(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self.renew_once()

    async def renew_once(self) -> None:
        await self.renewal(keys=[QUEUE, WORKERS], args=[time.time(), self.name, LEASE])


class Queue:
    """Enqueues jobs, and waits for results."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.results = redis.pubsub(ignore_subscribe_messages=True)

    async def enqueue(self, task: str, number: int) -> None:
        await self.redis.lpush(QUEUE, _message(uuid4().hex, task, number))

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        await self.redis.lpush(QUEUE, *(_message(uuid4().hex, task, number) for number in numbers))

    async def call(self, task: str, number: int) -> int:
        if not self.results.subscribed:
            await self.results.subscribe(RESULTS)
            await self.results.get_message(timeout=5)
        job = uuid4().hex
        await self.redis.lpush(QUEUE, _message(job, task, number))
        async for message in self.results.listen():
            if message["data"][:ID] == job.encode():
                return json.loads(message["data"][ID:])
        raise ConnectionError("the subscription has ended")


def _message(job: str, task: str, number: int) -> str:
    return job + json.dumps((task, (number, TEXT)))


@asynccontextmanager
async def client() -> AsyncGenerator[Queue]:
    async with Redis.from_url(broker_url()) as redis:
        queue = Queue(redis)
        yield queue
        await queue.results.aclose()


async def work() -> None:
    async with Redis.from_url(broker_url()) as redis:
        await Worker(redis).run()


if __name__ == "__main__":
    uvloop.run(work())
