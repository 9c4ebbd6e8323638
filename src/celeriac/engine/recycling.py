"""Replaces a shard after `--max-tasks-per-child` tasks, or when it exceeds `--max-memory-per-child`.

In Celery, these options are for the children of prefork. A shard runs its tasks itself, so the shard ends: it takes no
more messages, and finishes its tasks as at SIGTERM. It tells its parent, which starts another shard at once.
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
from celery.worker import state as worker_state

from celeriac.core.parent_protocol import Retiring
from celeriac.engine.prefork import is_prefork
from celeriac.engine.start import shard

log = logging.getLogger("celeriac.engine")

#: Time between two looks at the memory.
_LOOK_EVERY_S = 0.1
_STATM = Path("/proc/self/statm")


class Recycling:
    """The limits of this shard. It retires after beginning `tasks` tasks, or at `kibibytes` KiB of resident memory."""

    def __init__(self, tasks: int | None, kibibytes: int | None) -> None:
        self._tasks = tasks
        self._kibibytes = kibibytes
        self._lock = threading.Lock()
        self._is_retiring = False
        self._look_at = 0.0

    def begin(self) -> None:
        """Check the limits after each task from now on."""
        signals.task_postrun.connect(self._look, weak=False, dispatch_uid="celeriac.recycling")

    @property
    def may_hold(self) -> int:
        """Return how many messages this worker may hold: those that run, and those that it may still begin."""
        if self._is_retiring:
            return 0
        if not self._tasks:
            return sys.maxsize
        return self._tasks - worker_state.all_total_count[0] + len(worker_state.active_requests)

    def _look(self, **_: Any) -> None:
        """Check the limits after a task has ended, in any thread."""
        begun = worker_state.all_total_count[0]
        if self._tasks and begun >= self._tasks:
            self._retire(f"has begun {begun} tasks (max_tasks_per_child={self._tasks})")
        elif self._kibibytes and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_S
            if (size := resident_kibibytes()) > self._kibibytes:
                self._retire(f"has {size} KiB of memory (max_memory_per_child={self._kibibytes})")

    def _retire(self, why: str) -> None:
        with self._lock:
            is_retiring, self._is_retiring = self._is_retiring, True
        if not is_retiring:
            log.info("this shard %s: it takes no more jobs, and is replaced", why)
            shard.tell(Retiring(why))
            worker_state.should_stop = 0  # an exit code, which makes Celery stop as at SIGTERM


def recycling_of(controller: Any) -> Recycling | None:
    """Return the recycling for a worker's options. None: there are no limits, or the pool replaces its processes."""
    tasks, kibibytes = controller.max_tasks_per_child, controller.max_memory_per_child
    if not shard.is_supervised() or is_prefork(controller.pool_cls) or not (tasks or kibibytes):
        return None
    return Recycling(tasks, kibibytes)


def resident_kibibytes() -> int:
    """Return the resident memory of this process in KiB, including shared pages. Without /proc, return its peak."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
