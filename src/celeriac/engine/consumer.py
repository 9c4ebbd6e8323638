"""Celery's consumer with Celeriac's steps and requests, for the setting `worker_consumer`.

It is not added by `app.steps`, so that a plain `celery.Celery` application needs nothing but settings.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from celery import Task, signals
from celery.exceptions import NotRegistered
from celery.worker.consumer import consumer as celery_consumer

from celeriac.core.errors import InvalidMessage
from celeriac.engine import job_logs, process_hooks, rate_limits, runs_apart, scheduled, steps
from celeriac.engine.aio.consumer import Fetching
from celeriac.engine.aio.pool import Pool
from celeriac.engine.door import Door, refuse
from celeriac.engine.guard import Guard
from celeriac.engine.lease import lease_of
from celeriac.engine.recycling import recycling_of
from celeriac.engine.request import REQUEST
from celeriac.engine.revocations import Revocations
from celeriac.engine.start import start_check

#: Celery's default class of a task's requests. Only this one is replaced: a class that the user chose stays.
_CELERYS_REQUEST = Task.Request
#: How long an asyncio worker gathers events before it sends them.
_GATHER_EVENTS_S = 0.05
#: Pause between two tries to reach an absent broker: the first, by which it also grows, and the longest.
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 0.3
#: Time between two log lines about the absent broker.
_TELL_EVERY_S = 30.0


class Consumer(celery_consumer.Consumer):
    """The part of a worker between its pool and the broker."""

    event_dispatcher: Any  # a step sets it
    task_consumer: Any = None  # a step sets it

    class Blueprint(celery_consumer.Consumer.Blueprint):
        """Celery's steps and Celeriac's."""

        default_steps = (
            *celery_consumer.Consumer.Blueprint.default_steps,
            steps.Hold,
            steps.PoolCheck,
            Revocations,
            Fetching,
        )

    def __init__(self, *args: Any, **options: Any) -> None:
        process_hooks.install()  # the consumer is made before the pool starts, so that its processes inherit the hooks
        job_logs.install()
        scheduled.install()
        runs_apart.install()
        self.guard = Guard()
        super().__init__(*args, **options)
        start_check.check(self.app, self.controller, is_asyncio=isinstance(self.pool, Pool))
        recycling = recycling_of(self.controller)
        if recycling is not None:
            recycling.begin()
        if isinstance(self.pool, Pool):
            self.pool.recycling = recycling

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try an absent broker again every 0.3 s. Celery pauses for 2 s, then 4, and up to 30.

        With `broker_connection_max_retries`, Celery's pauses stay, since shorter ones would use up the tries at once.
        """
        if cast(Any, self.app).conf.broker_connection_max_retries is not None:
            return super().ensure_connected(conn)
        connect = conn.ensure_connection

        def connect_soon(errback: Any, max_retries: None, callback: Any) -> Any:
            return connect(_now_and_then(errback), max_retries, _PAUSE_S, _PAUSE_S, _LONGEST_PAUSE_S, callback)

        conn.ensure_connection = connect_soon
        try:
            return super().ensure_connected(conn)
        finally:
            del conn.ensure_connection

    def update_strategies(self) -> None:
        for task in cast(Any, self.app).tasks.values():
            if task.Request == _CELERYS_REQUEST:
                task.Request = REQUEST
            if isinstance(self.pool, Pool):
                self.pool.prepare(task)
        if isinstance(self.pool, Pool) and self.event_dispatcher is not None:
            self.event_dispatcher.buffer_limit = sys.maxsize  # a full buffer would be sent in the event loop's thread
        super().update_strategies()
        if not isinstance(self.pool, Pool):
            runs_apart.prepare_stacks()
            for task in cast(Any, self.app).tasks.values():
                runs_apart.prepare(task, self.hostname)

    def on_send_event_buffered(self) -> None:
        """Handle Celery's call that an event waits to be sent."""
        if isinstance(self.pool, Pool):
            self.pool.call_later(_GATHER_EVENTS_S, self._send_events)
        else:
            super().on_send_event_buffered()

    def _send_events(self) -> None:
        dispatcher = self.event_dispatcher
        if dispatcher is not None:
            dispatcher.flush()

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        """Make the handler of messages, which checks each one before Celery's handler or the fast path gets it."""
        return Door(self, super().create_task_handler(*args, **options)).handle

    def call_after(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function` in `seconds`, in the thread that handles messages, unless the worker stops taking them."""
        if isinstance(self.pool, Pool):
            intake = self.pool.intake
            asyncio.get_running_loop().call_later(seconds, lambda: function() if intake and intake.handle else None)
        else:
            cast(Any, self.timer).call_after(seconds, function)

    def reset_rate_limits(self) -> None:
        """Read the tasks' rate limits again. Recall the messages that a changed limit has put off."""
        before = rate_limits.limits_of(self.task_buckets)
        super().reset_rate_limits()
        after = rate_limits.limits_of(self.task_buckets)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if self.task_consumer is not None and (lease := lease_of(self)) is not None:
            rate_limits.recall(lease, changed, [queue.name for queue in self.task_consumer.queues])

    def _limit_task(self, request: Any, bucket: Any, tokens: int) -> Any:
        """Start a task that its rate limit has admitted (`rate_limits.py`). Leave any other to Celery."""
        if getattr(request.message, "is_admitted", False):
            return self._limit_move_to_pool(request)
        return super()._limit_task(request, bucket, tokens)

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge a message: on Celery's event loop, or at once with the asyncio pool, which has its own."""
        if not isinstance(self.pool, Pool):
            return super().call_soon_ack(p, *args, **kwargs)
        return p(*args, **kwargs)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Make a dead letter of a message that cannot be decoded, and fail its job. Celery would acknowledge it."""
        refuse(self, message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        refuse(self, message, InvalidMessage("is no task"))

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        name = str(exc.args[0])
        refuse(self, message, NotRegistered(name), cause="no task of that name is registered")
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=message.headers.get("id"))

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        refuse(self, message, exc)


def _now_and_then(errback: Callable[[Any, float], None]) -> Callable[[Any, float], None]:
    """Wrap `errback` to be called at most every 30 s."""
    next_time = 0.0

    def tell(error: Any, interval: float) -> None:
        nonlocal next_time
        if monotonic() >= next_time:
            next_time = monotonic() + _TELL_EVERY_S
            errback(error, interval)

    return tell
