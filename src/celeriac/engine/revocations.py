"""Stores revocations on the broker, so that workers that start later also obey them.

`app.control.revoke(id)` is broadcast, and Celery's workers keep revocations in memory. A worker that starts later, or
had lost its connection, runs the task. Here the sender stores the revocation (`engine/control.py`). A worker stores one
that a stock Celery producer sent. Each worker reads them before it takes tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, cast

from celery import bootsteps
from celery.worker import control
from celery.worker import state as worker_state

from celeriac.engine.lease import Lease, lease_of
from celeriac.store.redis.errors import SERVER_ERRORS

log = logging.getLogger("celeriac.engine")


class Revocations(bootsteps.StartStopStep):
    """Reads the stored revocations each time the worker has connected."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        if (lease := lease_of(parent)) is not None:
            worker_state.merge_revoked(lease.hold.revoked())


@cast(Any, control).control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **options: Any) -> Any:
    """Revoke tasks as Celery does, and store the revocation."""
    _remember(lease_of(state.consumer), {task_id} if isinstance(task_id, str) else set(task_id or ()))
    return control.revoke(state, task_id, terminate, signal, **options)


@cast(Any, control).control_command(
    name="terminate", variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]"
)
def terminate(state: Any, signal: Any, task_id: Any, **_: Any) -> Any:
    """Revoke tasks, and stop those that run."""
    return revoke(state, task_id, terminate=True, signal=signal)


def _remember(lease: Lease | None, task_ids: Collection[str]) -> None:
    if lease is None or not task_ids:
        return
    try:
        lease.hold.remember_revoked(task_ids, most=worker_state.REVOKES_MAX)
    except SERVER_ERRORS as error:
        log.warning(
            "a revocation could not be stored (%s); workers that start later do not obey it", type(error).__name__
        )
