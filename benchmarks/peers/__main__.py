"""A producer, in the environment of its system: `python -m benchmarks.peers MODULE ACTION TASK COUNT [--first NUMBER]`.

Prints `RESULT` and, in JSON, how many seconds it took, or a list of seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

from benchmarks.peers.workload import BATCH, RESULT, Client, Peer

#: The longest pause between two calls (s). Random pauses keep a system's polling from getting into step with them.
_PAUSE = 0.02


async def fill(client: Client, task: str, numbers: Sequence[int]) -> float:
    """Enqueue in batches."""
    began = time.perf_counter()
    for batch in _batches(numbers):
        await client.enqueue_many(task, batch)
    return time.perf_counter() - began


async def enqueue(client: Client, task: str, numbers: Sequence[int]) -> float:
    """Enqueue one by one."""
    began = time.perf_counter()
    for number in numbers:
        await client.enqueue(task, number)
    return time.perf_counter() - began


async def call(client: Client, task: str, numbers: Sequence[int]) -> list[float]:
    """Enqueue one job and wait for its result, again and again."""
    taken: list[float] = []
    for number in numbers:
        await asyncio.sleep(random.uniform(0, _PAUSE))
        began = time.perf_counter()
        result = await client.call(task, number)
        taken.append(time.perf_counter() - began)
        if result != number:
            raise ValueError(f"job {number} returned {result}")
    return taken


async def tick(client: Client, task: str, numbers: Sequence[int]) -> float:
    """Enqueue one job a second."""
    began = time.perf_counter()
    for number in numbers:
        await client.enqueue(task, number)
        await asyncio.sleep(1)
    return time.perf_counter() - began


ACTIONS = {"fill": fill, "enqueue": enqueue, "call": call, "tick": tick}

#: Actions that only some systems can do, and the module of their producers.
SPECIAL = {"chains": "canvas", "chords": "canvas", "later": "delays"}


def _action(name: str) -> Any:
    if name in ACTIONS:
        return ACTIONS[name]
    return getattr(importlib.import_module(f"benchmarks.peers.{SPECIAL[name]}"), name)


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), BATCH):
        yield numbers[start : start + BATCH]


async def _run(options: argparse.Namespace) -> float | list[float]:
    peer = cast(Peer, importlib.import_module(f"benchmarks.peers.{options.module}"))
    async with peer.client() as client:
        if options.warm_up:
            await enqueue(
                client, options.task, range(options.first + options.count, options.first + options.count + 10)
            )
        return await _action(options.action)(client, options.task, range(options.first, options.first + options.count))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("module")
    parser.add_argument("action", choices=[*ACTIONS, *SPECIAL])
    parser.add_argument("task")
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="the number of the first job")
    parser.add_argument("--warm-up", action="store_true", help="enqueue a few jobs before, which are not timed")
    options = parser.parse_args()
    with suppress(ImportError):
        importlib.import_module("uvloop").install()
    print(RESULT + json.dumps(asyncio.run(_run(options))))


if __name__ == "__main__":
    main()
