"""The options of a run of the benchmarks."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

from benchmarks.support.environments import Environments
from benchmarks.support.system import System
from benchmarks.support.systems import every_system


@dataclass(frozen=True)
class Options:
    """The options of `./dev bench`.

    Attributes:
        quick: measure little, to see that it works. Do not quote such figures.
        rounds: how often everything is measured.
        families: which systems, by the first word of their names. Empty means all.
        pool: Celeriac's pool: asyncio, or one of Celery's.
        processes: how many processes run jobs: one for each core.
        size: of the file in `files`, in bytes.
    """

    quick: bool = False
    rounds: int = 3
    families: frozenset[str] = frozenset()
    pool: str = "asyncio"
    processes: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    size: int = 1_000_000_000
    environments: Environments = field(default_factory=Environments)

    def systems(self, question: str | None = None) -> list[System]:
        """The chosen systems, or those of them that a benchmark has a row for."""
        chosen = [s for s in every_system(self.pool) if not self.families or s.family in self.families]
        return [system for system in chosen if question is None or question in system.questions]

    def scaled(self, count: int, quick: int) -> int:
        """`count`, or the smaller number if `quick`."""
        return min(count, quick) if self.quick else count

    def say(self, text: str) -> None:
        """Print a line about the progress."""
        print(f"bench: {text}", file=sys.stderr, flush=True)
