"""The hold of this process on the messages it has taken.

Stock Celery on Redis gives a message to another worker once a fixed time has passed since its delivery, whether or
not its worker lives: long jobs run twice, and a worker's crash is noticed after an hour. Here a worker has one lease
on all that it holds, which a thread renews for as long as the process lives, whatever its jobs do to their threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from celeriac.engine.identity import has_ended, new_worker_name
from celeriac.store.connection import BlockingClient
from celeriac.store.holder import Holder

log = logging.getLogger("celeriac.engine")

#: Seconds between two renewals, and two looks for workers that have vanished; for a short lease, a part of it.
_LOOK_EVERY = 1.0
_PARTS = 4

_by_server: dict[tuple[int, str, float], Lease] = {}
_lock = threading.Lock()


def lease_on(server: str, connect: Callable[[], BlockingClient], seconds: float) -> Lease:
    """This process's lease on `server`. There is one, whatever connections come and go."""
    with _lock:
        key = os.getpid(), server, seconds
        if key not in _by_server:
            _by_server[key] = Lease(connect(), seconds)
        return _by_server[key]


def leases() -> list[Lease]:
    """This process's leases."""
    with _lock:
        return [lease for (pid, *_), lease in _by_server.items() if pid == os.getpid()]


def lease_of(consumer: Any) -> Lease | None:
    """The lease of a worker, by Celery's consumer; None if it is reached otherwise, by `memory://` say.

    A process may have leases on other servers: those of applications that ran in it before, as in tests.
    """
    channel = consumer.connection.default_channel if consumer.connection is not None else None
    return getattr(channel, "lease", None)


class Lease:
    """Names this process as the holder of messages, and keeps it known to be alive from the first one on."""

    def __init__(self, client: BlockingClient, seconds: float) -> None:
        self.holder = Holder(client, new_worker_name(), lease=seconds)
        self._next_number = 1
        self._counting = threading.Lock()
        self._every = min(_LOOK_EVERY, seconds / _PARTS)
        self._thread: threading.Thread | None = None
        self._known = False
        self.on_lost: Callable[[], None] | None = None  # called, in the lease's thread, when the lease had run out

    @property
    def worker(self) -> str:
        return self.holder.worker

    def new_receipt(self) -> str:
        """A name for one message in this worker's hold."""
        return self.receipt(self.reserve(1))

    def reserve(self, count: int) -> int:
        """The first of `count` numbers that no receipt has had."""
        with self._counting:
            first, self._next_number = self._next_number, self._next_number + count
        return first

    def receipt(self, number: int) -> str:
        """The name for a message in this worker's hold that goes with `number`: `<worker>/<number>`."""
        return f"{self.worker}/{number}"

    def keep(self) -> None:
        """See to it that the lease is renewed from now on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="celeriac-lease", daemon=True)
            self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether the thread that renews it has been started, and is no more."""
        return self._thread is not None and not self._thread.is_alive()

    def _serve(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._renew()
                self._bring_back()
            except Exception as error:  # whatever it is: without the lease, all that is held would run twice
                log.warning("the lease was not renewed (%s); trying again", type(error).__name__)
            pause.wait(self._every)

    def _renew(self) -> None:
        if not self.holder.renew() and self._known:
            log.warning("the lease of this worker had run out; what it held is run elsewhere")
            if self.on_lost is not None:
                self.on_lost()
        self._known = True

    def _bring_back(self) -> None:
        ended = [worker for worker in self.holder.workers() if has_ended(worker)]
        for worker, count in self.holder.reclaim(ended).items():
            log.warning("brought back %d messages that worker %s held when it vanished", count, worker)
