"""The lease of a worker on the messages that it holds.

Stock Celery on Redis gives a message to another worker a fixed time after delivery, whether or not its worker lives.
So long jobs run twice, and a crash is noticed after an hour. Here a worker has one lease on all that it holds. A thread
renews it while the process lives, even if jobs block all other threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from celeriac.engine.identity import has_ended, new_worker_name
from celeriac.store.messages.worker_hold import WorkerHold
from celeriac.store.redis.connection import BlockingClient

log = logging.getLogger("celeriac.engine")

#: Time between two renewals, which also look for vanished workers. For a short lease, its fourth part.
_LOOK_EVERY_S = 1.0
_PARTS = 4

_by_server: dict[tuple[int, str, float], Lease] = {}
_lock = threading.Lock()


def lease_on(server: str, connect: Callable[[], BlockingClient], seconds: float) -> Lease:
    """Return this process's one lease on `server`, which all its connections share."""
    with _lock:
        key = os.getpid(), server, seconds
        if key not in _by_server:
            _by_server[key] = Lease(connect(), seconds)
        return _by_server[key]


def leases() -> list[Lease]:
    """Return all leases of this process."""
    with _lock:
        return [lease for (pid, *_), lease in _by_server.items() if pid == os.getpid()]


def lease_of(consumer: Any) -> Lease | None:
    """Return the lease of the worker of Celery's consumer, or None with another transport, such as `memory://`.

    A process may have leases on several servers, from applications that ran in it before, as in tests.
    """
    channel = consumer.connection.default_channel if consumer.connection is not None else None
    return getattr(channel, "lease", None)


class Lease:
    """Gives this process a name under which it holds messages, and keeps telling the broker that it lives."""

    def __init__(self, client: BlockingClient, seconds: float) -> None:
        self.hold = WorkerHold(client, new_worker_name(), lease=seconds)
        self._next_number = 1
        self._counting = threading.Lock()
        self._every_s = min(_LOOK_EVERY_S, seconds / _PARTS)
        self._thread: threading.Thread | None = None
        self._known = False
        self.on_lost: Callable[[], None] | None = None  # called in the lease's thread after the lease had expired

    @property
    def worker(self) -> str:
        return self.hold.worker

    def new_receipt(self) -> str:
        """Make the name for one message in this worker's hold."""
        return self.receipt(self.reserve(1))

    def reserve(self, count: int) -> int:
        """Reserve `count` numbers for receipts, and return the first."""
        with self._counting:
            first, self._next_number = self._next_number, self._next_number + count
        return first

    def receipt(self, number: int) -> str:
        """Return the receipt with that number: `<worker>/<number>`."""
        return f"{self.worker}/{number}"

    def keep(self) -> None:
        """Start the thread that renews the lease, unless it runs."""
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="celeriac-lease", daemon=True)
            thread.start()
            self._thread = thread  # only now: until its start, a thread looks to the guard like one that has died

    @property
    def has_ended(self) -> bool:
        """Whether the thread that renews the lease was started, and has died."""
        return self._thread is not None and not self._thread.is_alive()

    def _serve(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._renew()
                self._bring_back()
            except Exception as error:  # whatever it is: without the lease, every held job would run twice
                log.warning("the lease was not renewed (%s); trying again", type(error).__name__)
            pause.wait(self._every_s)

    def _renew(self) -> None:
        if not self.hold.renew() and self._known:
            log.warning("the lease of this worker had run out; other workers run the jobs that it held")
            if self.on_lost is not None:
                self.on_lost()
        self._known = True

    def _bring_back(self) -> None:
        ended = [worker for worker in self.hold.workers() if has_ended(worker)]
        for worker, count in self.hold.reclaim(ended).items():
            what = "message" if count == 1 else "messages"
            log.warning("brought back %d %s that worker %s held when it vanished", count, what, worker)
