"""SAQ."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from saq import Queue

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

with suppress(ImportError):  # it is no choice of SAQ's command line, but of whoever imports this
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
    """Look for lost jobs before the worker takes any: a sweep beside the first jobs takes those for lost."""
    await queue.sweep(SWEEP)


settings = {
    "queue": queue,
    "functions": [noop, nap, long],
    "concurrency": int(variant("concurrency", "100")),
    "timers": {"sweep": SWEEP},
    "startup": sweep_first,
}
#: With its default of one attempt, a job whose worker died is not run again but given up.
OPTIONS = {"retries": 3, "timeout": int(variant("timeout", "10"))}


class Functions:
    """SAQ has nothing for many jobs at once but as many operations at a time as its queue allows."""

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
