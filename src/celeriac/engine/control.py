"""Celery's remote control, which also stores revocations on the broker.

A revocation is broadcast to the workers that run at that moment. Celeriac's workers store what they hear
(`engine/revocations.py`). So that a revocation also lasts when no worker runs, the sender stores it as well.
"""

from __future__ import annotations

from typing import Any, cast

from celery.app import control as celery_control
from celery.worker import state as worker_state
from kombu.transport import redis as kombu_redis
from kombu.utils.functional import maybe_list

from celeriac.store.messages import revocations
from celeriac.store.redis.runner import run_blocking

_REVOKING = frozenset({"revoke", "terminate"})


class Control(celery_control.Control):
    """The class of `app.control`. A plain application gets it with `Celery(control="celeriac.engine.control:Control")`.

    Every revocation passes here: those of results and groups, of `celery control`, and of Flower.
    """

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Any = None,
        connection: Any = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Send a command to the workers. Store a revocation first, for workers that start later.

        Raises:
            Exception: the broker cannot be reached: kombu's `OperationalError`, or an error of redis-py.
        """
        if command in _REVOKING:
            given: Any = (arguments or options).get("task_id")
            self._remember([str(task_id) for task_id in maybe_list(given) or ()], connection)
        return super().broadcast(command, arguments, destination, connection, *args, **options)

    def _remember(self, task_ids: list[str], connection: Any) -> None:
        app = cast(Any, self).app
        with app.connection_or_acquire(connection) as connected:
            channel = connected.default_channel
            if task_ids and isinstance(channel, kombu_redis.Channel):  # in tests, the broker may be `memory://`
                # The channel's own client has the connection that waits for replies to commands.
                with cast(Any, channel).conn_or_acquire() as client:
                    run_blocking(client, revocations.remember(task_ids, most=worker_state.REVOKES_MAX))
