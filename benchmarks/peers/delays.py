"""A producer of delayed jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from benchmarks.peers.workload import BATCH, TOGETHER, variant


class DelayingClient(Protocol):
    """A client of a system that can delay jobs."""

    async def enqueue_at(self, task: str, numbers: Sequence[int], due: float) -> None:
        """Enqueue jobs that are due at a time (s since 1970), in the fastest way that the system documents."""
        ...


async def later(client: DelayingClient, task: str, numbers: Sequence[int]) -> float:
    """Enqueue jobs for BENCH_DUE. With BENCH_PACE, that many become due each second, `TOGETHER` at a time."""
    due, pace = float(variant("due")), float(variant("pace", "0"))
    size = TOGETHER if pace else BATCH
    began = time.perf_counter()
    for start in range(0, len(numbers), size):
        await client.enqueue_at(task, numbers[start : start + size], due + (start / pace if pace else 0))
    return time.perf_counter() - began
