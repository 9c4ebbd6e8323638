"""The bootsteps that Celeriac adds to Celery's consumer."""

from __future__ import annotations

import atexit
import logging
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutdown

from celeriac.engine.aio.pool import Pool as AsyncioPool
from celeriac.engine.lease import lease_of, leases
from celeriac.engine.prefork import is_prefork
from celeriac.engine.transport import running_receipts
from celeriac.store.redis.errors import SERVER_ERRORS

log = logging.getLogger("celeriac.engine")

#: Time between two looks at the processes of a prefork pool.
_LOOK_EVERY_S = 0.5


class Hold(bootsteps.StartStopStep):
    """Gives back messages that an earlier connection left in the worker's hold, before the consumer starts.

    When a connection breaks, a reply with a message may be lost, and Celery forgets the messages that it has not begun.
    They would stay in the hold until the worker ends.
    """

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        worker_shutdown.connect(_release, dispatch_uid="celeriac.release")
        atexit.register(_release)  # Celery sends no signal in a cold shutdown

    def start(self, parent: Any) -> None:
        if isinstance(parent.pool, AsyncioPool):
            return  # its intake outlives connections, and knows what it holds
        if (lease := lease_of(parent)) is not None:
            lease.hold.put_back_all_but(running_receipts())


class PoolCheck(bootsteps.StartStopStep):
    """Notices within half a second when a process of the pool was killed.

    Celery looks as soon as the pipe of the process closes. The process may not have ended by then, and Celery does not
    look again for five seconds (celery/concurrency/asynpool.py, `_event_process_exit`).
    """

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        if is_prefork(type(parent.pool)):
            hub.call_repeatedly(_LOOK_EVERY_S, parent.pool.maintain_pool)


def _release(**_: Any) -> None:
    """Give back the messages that are left after the pool has ended, instead of when the lease runs out."""
    atexit.unregister(_release)
    for lease in leases():
        try:
            lease.hold.release()
        except SERVER_ERRORS as error:
            log.warning(
                "the messages that this worker holds go back to their queues only when its lease runs out (%s)",
                type(error).__name__,
            )
