"""What all systems are given to do, and the little each of them needs for it."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Protocol

#: The number of a job, and CLOCK_MONOTONIC in ns as it began: one record of the file at `BENCH_RECORDS`.
RECORD = struct.Struct("<QQ")

#: Seconds that a job of the I/O-bound kind waits, and one that is going to be killed works.
NAP = 0.05
LONG = 5.0

#: Jobs of one call of a bulk API.
BATCH = 500

#: Delayed jobs that are due at the same time, where many are due soon.
TOGETHER = 10

#: Tasks of a chain; tasks of a chord, its callback included.
CHAIN = 5
CHORD = 11

#: What a producer's result comes after, on a line of its own.
RESULT = "result: "

#: The second argument of each job, so that there is something to encode and validate.
TEXT = "some text"


def record(number: int) -> None:
    """Leave behind that job `number` has begun: one write of one record, which O_APPEND makes atomic."""
    os.write(_records(), RECORD.pack(number, time.monotonic_ns()))


@cache
def _records() -> int:
    return os.open(os.environ["BENCH_RECORDS"], os.O_WRONLY | os.O_APPEND)


def broker_url() -> str:
    """Where the broker is. In the environment, since what is on a command line can be seen by everyone."""
    return os.environ["BENCH_URL"]


def variant(name: str, default: str = "") -> str:
    """A setting that differs between the rows of one system."""
    return os.environ.get(f"BENCH_{name.upper()}", default)


class Client(Protocol):
    """A system from the side of who enqueues.

    Tasks: `noop` and `nap`, as `async def` where the system knows that; `noop_def`; `long`. All take (number, text),
    record the number, and return it.
    """

    async def enqueue(self, task: str, number: int) -> None:
        """Enqueue one job."""
        ...

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        """Enqueue at most `BATCH` jobs in the fastest way that the system documents."""
        ...

    async def call(self, task: str, number: int) -> int:
        """Enqueue one job and wait for its result in the system's own way."""
        ...


class Peer(Protocol):
    """What each module of this package has."""

    def client(self) -> AbstractAsyncContextManager[Client]:
        """Connected; closed with the `with` block."""
        ...
