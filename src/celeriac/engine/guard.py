"""Ends a worker that is alive but broken, so that its supervisor starts it again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from celeriac.engine.loop import BROKEN, end_at_once

log = logging.getLogger("celeriac.engine")

#: Time between two looks.
_LOOK_EVERY_S = 0.5


class Guard:
    """A thread that watches whether the threads and tasks that a worker needs still run.

    It asks whether they have ended, not whether they answer. So a busy event loop is fine, however long. When the guard
    ends the worker, its messages count as lost with it, as after any crash.
    """

    def __init__(self) -> None:
        self._watched: dict[str, Callable[[], bool]] = {}
        self._has_started = False

    def watch(self, what: str, has_ended: Callable[[], bool]) -> None:
        """End this process when `has_ended()` is true. A second call with the same name replaces the first."""
        self._watched = {**self._watched, what: has_ended}

    def start(self) -> None:
        """Start to watch. Safe to call again."""
        if self._has_started:
            return
        self._has_started = True
        threading.Thread(target=self._serve, name="celeriac-guard", daemon=True).start()

    def _serve(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            self._look()

    def _look(self) -> None:
        for what, has_ended in self._watched.items():
            if has_ended():
                log.critical(
                    "%s has ended, but the worker has not: a job must have broken it. The worker ends now, "
                    "and its jobs run again",
                    what,
                )
                end_at_once(BROKEN)
