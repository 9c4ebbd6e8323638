"""docket."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import uvloop
from docket import Docket, Worker

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant


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


TASKS = {"noop": noop, "nap": nap, "long": long}


class Tasks:
    def __init__(self, docket: Docket) -> None:
        self.docket = docket

    async def enqueue(self, task: str, number: int) -> None:
        await self.docket.add(TASKS[task])(number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        await self.docket.add_many(self.docket.call(TASKS[task])(number, TEXT) for number in numbers)

    async def call(self, task: str, number: int) -> int:
        execution = await self.docket.add(TASKS[task])(number, TEXT)
        return await execution.get_result(timeout=timedelta(seconds=60))


@asynccontextmanager
async def client() -> AsyncGenerator[Tasks]:
    async with _docket() as docket:
        yield Tasks(docket)


@asynccontextmanager
async def _docket() -> AsyncGenerator[Docket]:
    async with Docket(name="bench", url=broker_url()) as docket:
        for function in TASKS.values():
            docket.register(function)
        yield docket


async def work() -> None:
    # A redis-py pool has 100 connections, and docket takes two for each job.
    timeout = timedelta(seconds=float(variant("redelivery_timeout", "300")))
    check = timedelta(milliseconds=float(variant("check_interval", "250")))
    async with _docket() as docket:
        worker = Worker(docket, concurrency=40, redelivery_timeout=timeout, minimum_check_interval=check)
        async with worker:
            await worker.run_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(work())
