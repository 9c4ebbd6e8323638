"""Producers of workflows, for systems that have Celery's canvas."""

# pyright: basic
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from celery import chain, chord

from benchmarks.peers.workload import CHAIN, CHORD


class CanvasClient(Protocol):
    """A client of such a system."""

    def signature(self, task: str, number: int) -> Any:
        """The immutable signature of one job."""
        ...


async def chains(client: CanvasClient, task: str, numbers: Sequence[int]) -> float:
    """Enqueue chains."""
    return _enqueue(client, task, numbers, CHAIN, lambda tasks: chain(*tasks))


async def chords(client: CanvasClient, task: str, numbers: Sequence[int]) -> float:
    """Enqueue chords."""
    return _enqueue(client, task, numbers, CHORD, lambda tasks: chord(tasks[:-1], tasks[-1]))


def _enqueue(
    client: CanvasClient, task: str, numbers: Sequence[int], size: int, workflow: Callable[[list[Any]], Any]
) -> float:
    began = time.perf_counter()
    for start in range(0, len(numbers), size):
        tasks = [client.signature(task, number) for number in numbers[start : start + size]]
        workflow(tasks).apply_async()
    return time.perf_counter() - began
