"""What Celeriac adds to Celery's worker: bootsteps of its consumer."""

from __future__ import annotations

import atexit
import logging
from typing import Any

from celery import bootsteps
from celery.concurrency.prefork import TaskPool as Prefork
from celery.signals import worker_shutdown
from redis.exceptions import RedisError

from celeriac.engine.aio.pool import Pool as AsyncioPool
from celeriac.engine.lease import lease_of, leases
from celeriac.engine.transport import running_receipts

log = logging.getLogger("celeriac.engine")

#: Seconds between two looks at the processes of a prefork pool.
_POOL_CHECK = 0.5


class Hold(bootsteps.StartStopStep):
    """Gives back, before the consumer starts, what an earlier connection left behind.

    A connection that breaks may take along a reply that brought a message, and Celery then forgets the messages whose
    jobs it had not begun. They would be held for as long as this worker lives.
    """

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        worker_shutdown.connect(_release, dispatch_uid="celeriac.release")
        atexit.register(_release)  # of a cold shutdown Celery tells nobody

    def start(self, parent: Any) -> None:
        if isinstance(parent.pool, AsyncioPool):
            return  # its intake keeps count across connections
        if (lease := lease_of(parent)) is not None:
            lease.holder.put_back_all_but(running_receipts())


class PoolCheck(bootsteps.StartStopStep):
    """Notices at once when a process of the pool has been killed.

    Celery is told by a pipe that closes as the process ends, looks at once, may find it not yet ended, and then does
    not look again for five seconds (celery/concurrency/asynpool.py, `_event_process_exit`).
    """

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        if isinstance(parent.pool, Prefork):
            hub.call_repeatedly(_POOL_CHECK, parent.pool.maintain_pool)


def _release(**_: Any) -> None:
    """The pool has ended: let others have at once what is left, instead of when the lease runs out."""
    atexit.unregister(_release)
    for lease in leases():
        try:
            lease.holder.release()
        except (RedisError, OSError) as error:
            log.warning("what this worker holds is given back when its lease runs out (%s)", type(error).__name__)
