"""The jobs that all systems run, and what their modules share."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Protocol

#: One record of the file at `BENCH_RECORDS`: the number of a job, and CLOCK_MONOTONIC in ns when it began.
RECORD = struct.Struct("<QQ")

#: How long an I/O-bound job waits, and how long a job that will be killed works (s).
NAP = 0.05
LONG = 5.0

#: How many jobs one call of a bulk API gets.
BATCH = 500

#: How many delayed jobs are due at the same time.
TOGETHER = 10

#: The number of tasks in a chain, and in a chord with its callback.
CHAIN = 5
CHORD = 11

#: The word in front of a producer's result, on a line of its own.
RESULT = "result: "

#: The second argument of each job, to be encoded and validated.
TEXT = "some text"


def record(number: int) -> None:
    """Record that job `number` has begun, with one write, which O_APPEND makes atomic."""
    os.write(_records(), RECORD.pack(number, time.monotonic_ns()))


@cache
def _records() -> int:
    return os.open(os.environ["BENCH_RECORDS"], os.O_WRONLY | os.O_APPEND)


def broker_url() -> str:
    """The broker's URL. It is in the environment, because everyone can see a command line."""
    return os.environ["BENCH_URL"]


def variant(name: str, default: str = "") -> str:
    """A setting that differs between the rows of a system."""
    return os.environ.get(f"BENCH_{name.upper()}", default)


class Client(Protocol):
    """A client of a system.

    Tasks: `noop` and `nap`, as `async def` if the system supports that; `noop_def`; `long`. All take (number, text),
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
    """What each module of this package provides."""

    def client(self) -> AbstractAsyncContextManager[Client]:
        """Connect a client, and close it after the `with` block."""
        ...
