"""SAQ."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from saq import Queue

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

with suppress(ImportError):  # SAQ's command line has no option for this
    import uvloop

    uvloop.install()

queue = Queue.from_url(broker_url(), max_concurrent_ops=100)


async def noop(_: object, *, number: int, text: str) -> int:
    record(number)
    return number


async def nap(_: object, *, number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


async def long(_: object, *, number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


SWEEP = int(variant("sweep", "60"))


async def sweep_first(_: object) -> None:
    """Sweep lost jobs before the worker takes any. A sweep during the first jobs would take these for lost."""
    await queue.sweep(SWEEP)


settings = {
    "queue": queue,
    "functions": [noop, nap, long],
    "concurrency": int(variant("concurrency", "100")),
    "timers": {"sweep": SWEEP},
    "startup": sweep_first,
}
#: With the default of one attempt, SAQ gives up a job whose worker died.
OPTIONS = {"retries": 3, "timeout": int(variant("timeout", "10"))}


class Functions:
    """A client that enqueues as many jobs at a time as SAQ's queue allows, because SAQ has no bulk API."""

    async def enqueue(self, task: str, number: int) -> None:
        await queue.enqueue(task, number=number, text=TEXT, **OPTIONS)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        await asyncio.gather(*(self.enqueue(task, number) for number in numbers))

    async def call(self, task: str, number: int) -> int:
        result = await queue.apply(task, timeout=60, poll_interval=0.002, retries=3, number=number, text=TEXT)
        assert isinstance(result, int)
        return result


@asynccontextmanager
async def client() -> AsyncGenerator[Functions]:
    await queue.connect()
    yield Functions()
    await queue.disconnect()
