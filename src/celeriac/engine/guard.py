"""Ends a worker that lives and does nothing any more, so that whoever supervises it starts it again."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

from celeriac.engine.containment import LEAST_RECURSION
from celeriac.engine.loop import BROKEN, end_at_once

log = logging.getLogger("celeriac.engine")

#: Seconds between two looks.
_LOOK_EVERY = 0.5


class Guard:
    """A thread that looks after what a worker cannot do without.

    An event loop that is busy, however long, is none of its business: it asks whether something has ended, and not
    whether it answers. What a worker holds when it ends counts as lost with it, as after any crash.
    """

    def __init__(self) -> None:
        self._watched: dict[str, Callable[[], bool]] = {}
        self._has_started = False

    def watch(self, what: str, has_ended: Callable[[], bool]) -> None:
        """End this process once `has_ended()`. Of several of the same name, the last one counts."""
        self._watched = {**self._watched, what: has_ended}

    def start(self) -> None:
        """Look from now on. Safe to call again."""
        if self._has_started:
            return
        self._has_started = True
        threading.Thread(target=self._serve, name="celeriac-guard", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                time.sleep(_LOOK_EVERY)
                if sys.getrecursionlimit() < LEAST_RECURSION:
                    sys.setrecursionlimit(LEAST_RECURSION)
                    log.error("a job lowered the recursion limit of the whole process, which is set back")
                self._look()
            except RecursionError:  # the limit has been lowered since
                continue

    def _look(self) -> None:
        for what, has_ended in self._watched.items():
            if has_ended():
                log.critical(
                    "%s has ended, though this worker has not: a job has broken it. The worker ends, "
                    "and its jobs are run again",
                    what,
                )
                end_at_once(BROKEN)
