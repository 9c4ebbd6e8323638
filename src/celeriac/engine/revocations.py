"""Revocations that outlast the workers that heard of them.

`app.control.revoke(id)` is broadcast, and Celery's workers keep what they have heard in memory: one that starts later,
or has lost its connection meanwhile, runs the task. Here who revokes (`engine/control.py`), or hears of it from a
producer of stock Celery, writes it down on the broker, and each worker reads that before it takes tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, cast

from celery import bootsteps
from celery.worker import control
from celery.worker import state as worker_state
from redis.exceptions import RedisError

from celeriac.engine.lease import Lease, lease_of

log = logging.getLogger("celeriac.engine")


class Revocations(bootsteps.StartStopStep):
    """Reads what has been revoked, whenever the worker has connected."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        if (lease := lease_of(parent)) is not None:
            worker_state.merge_revoked(lease.holder.revoked())


@cast(Any, control).control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **options: Any) -> Any:
    """Revoke tasks as Celery does, and remember that they are."""
    _remember(lease_of(state.consumer), {task_id} if isinstance(task_id, str) else set(task_id or ()))
    return control.revoke(state, task_id, terminate, signal, **options)


@cast(Any, control).control_command(
    name="terminate", variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]"
)
def terminate(state: Any, signal: Any, task_id: Any, **_: Any) -> Any:
    """The same for tasks that are also to be stopped where they run."""
    return revoke(state, task_id, terminate=True, signal=signal)


def _remember(lease: Lease | None, task_ids: Collection[str]) -> None:
    if lease is None or not task_ids:
        return
    try:
        lease.holder.remember_revoked(task_ids, most=worker_state.REVOKES_MAX)
    except (RedisError, OSError) as error:
        log.warning("workers that start later do not hear of a revocation (%s)", type(error).__name__)
