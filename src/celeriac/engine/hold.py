"""Keeps what a worker holds on the broker true to what it really has in hand."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.signals import worker_shutdown

from celeriac.engine.lease import leases
from celeriac.engine.transport import running_receipts


class Hold(bootsteps.StartStopStep):
    """Consumer bootstep: gives back, before the consumer starts, what an earlier connection left behind.

    A connection that breaks may take along a reply that brought a message, and Celery then forgets the messages whose
    jobs it had not begun. They would be held for as long as this worker lives.
    """

    requires = ("celery.worker.consumer.connection:Connection",)
    last = False

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        worker_shutdown.connect(_release, dispatch_uid="celeriac.release")

    def start(self, parent: Any) -> None:
        for lease in leases():
            lease.holder.put_back_all_but(running_receipts())


def _release(**_: Any) -> None:
    """The pool has ended: let others have at once what is left, instead of when the lease runs out."""
    for lease in leases():
        lease.holder.release()
