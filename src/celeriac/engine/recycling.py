"""Replacing a shard that has run so many tasks, or has grown so large: `--max-tasks-per-child` and the like.

Celery has it for the children of prefork. A shard runs its tasks itself, so here it is the shard that ends: it takes no
more, finishes what it runs as at SIGTERM, and its parent, which it has told, starts another at once.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from celery import signals
from celery.concurrency.prefork import TaskPool as Prefork
from celery.worker import state as worker_state

from celeriac.engine import shard

log = logging.getLogger("celeriac.engine")

#: Seconds between two looks at the memory.
_LOOK_EVERY = 0.1
_STATM = Path("/proc/self/statm")


class Recycling:
    """Has this shard retire when it has begun `tasks` tasks, or has `kibibytes` of memory resident."""

    def __init__(self, tasks: int | None, kibibytes: int | None) -> None:
        self._tasks = tasks
        self._kibibytes = kibibytes
        self._lock = threading.Lock()
        self._is_retiring = False
        self._look_at = 0.0

    def begin(self) -> None:
        """Look after each task from now on."""
        signals.task_postrun.connect(self._look, weak=False, dispatch_uid="celeriac.recycling")

    @property
    def may_hold(self) -> int:
        """How many messages this worker may hold: those that it runs, and those that it may yet begin."""
        if self._is_retiring:
            return 0
        if not self._tasks:
            return sys.maxsize
        return self._tasks - worker_state.all_total_count[0] + len(worker_state.active_requests)

    def _look(self, **_: Any) -> None:
        """A task has ended, in whatever thread."""
        begun = worker_state.all_total_count[0]
        if self._tasks and begun >= self._tasks:
            self._retire(f"has begun {begun} tasks (max_tasks_per_child={self._tasks})")
        elif self._kibibytes and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY
            if (size := resident_kibibytes()) > self._kibibytes:
                self._retire(f"has {size} KiB of memory (max_memory_per_child={self._kibibytes})")

    def _retire(self, why: str) -> None:
        with self._lock:
            is_retiring, self._is_retiring = self._is_retiring, True
        if not is_retiring:
            log.info("this shard %s: it takes no more, and is replaced", why)
            shard.tell(f"retiring {why}")
            worker_state.should_stop = 0  # the exit code: from here on as at SIGTERM


def recycling_of(controller: Any) -> Recycling | None:
    """How a worker is replaced, by its options; None if it is not, or its pool replaces its processes itself."""
    tasks, kibibytes = controller.max_tasks_per_child, controller.max_memory_per_child
    if not shard.is_supervised() or issubclass(controller.pool_cls, Prefork) or not (tasks or kibibytes):
        return None
    return Recycling(tasks, kibibytes)


def resident_kibibytes() -> int:
    """The memory that this process has, what it shares with others included; at its peak if no more is known."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
