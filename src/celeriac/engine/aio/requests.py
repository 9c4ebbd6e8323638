"""Turns a message into a running task by a faster path than Celery's, which most messages can take."""

from __future__ import annotations

import logging
import time
import weakref
from functools import partial
from typing import Any

from celery import signals
from celery.app import trace as celery_trace
from celery.exceptions import TaskRevokedError
from celery.worker import state as worker_state
from celery.worker import strategy as celery_strategy

from celeriac.core.errors import RunLater
from celeriac.core.records import Failure
from celeriac.core.usual import JSON
from celeriac.engine.aio.execution import Callbacks, Execution, Outcome
from celeriac.engine.aio.slots import Slots
from celeriac.engine.aio.tracer import Tracer
from celeriac.engine.request import REQUEST, Request

log = logging.getLogger("celeriac.engine")


class LightRequest(Request):
    """Celery's request for a JSON message of protocol 2, made with less work.

    Fields that a successful task does not need are computed on demand (celery/worker/request.py, `__init__`).
    """

    def __init__(self, message: Any, payload: Any, consumer: Any, tracer: Tracer) -> None:
        self._tracer, task = tracer, tracer.task
        headers, properties = message.headers, message.properties
        self._message = message
        self._request_dict = headers
        self._body = message.body
        self._app = consumer.app
        self._utc = True
        self._decoded = False
        self._content_type, self._content_encoding = message.content_type, message.content_encoding
        self._Request__payload = payload
        self.id = headers["id"]
        self._type = headers["task"]
        self.name = headers.get("shadow") or self._type
        self._root_id, self._parent_id = headers.get("root_id"), headers.get("parent_id")
        self.time_limits = headers.get("timelimit") or (None, None)
        self._argsrepr, self._kwargsrepr = headers.get("argsrepr", ""), headers.get("kwargsrepr", "")
        self._on_ack, self._on_reject = message.ack_log_error, message.reject_log_error
        self._hostname = consumer.hostname
        self._eventer = consumer.event_dispatcher
        self._connection_errors = consumer.connection_errors
        self._task = task
        ignored = headers.get("ignore_result")
        self._ignore_result = task.ignore_result if ignored is None else ignored
        self._eta = self._expires = None
        info = message.delivery_info
        self._delivery_info = {
            "exchange": info.get("exchange"),
            "routing_key": info.get("routing_key"),
            "priority": properties.get("priority"),
            "redelivered": info.get("redelivered", False),
        }
        self._args, self._kwargs, embedded = payload
        headers.update(
            embedded,
            properties=properties,
            reply_to=properties.get("reply_to"),
            correlation_id=properties.get("correlation_id"),
            hostname=self._hostname,
            delivery_info=self._delivery_info,
            args=self._args,
            kwargs=self._kwargs,
            is_eager=False,
        )

    def execute_using_pool(self, pool: Any, **_: Any) -> Any:
        if self.revoked():
            raise TaskRevokedError(self.id)
        hard, soft = self.time_limits
        task, slots = self._task, pool.slots_of(self._tracer)
        postpone = None if slots is None else partial(self._postpone, slots)
        execution = Execution(
            self._trace,
            Callbacks(self.on_accepted, self.on_success, self.on_failure, self.on_timeout, postpone, self._put_off),
            pool.threads,
            loop=pool.loop,
            soft_limit=soft or task.soft_time_limit or pool.soft_limit,
            hard_limit=hard or task.time_limit or pool.hard_limit,
            slots=slots,
        )
        self._apply_result = weakref.ref(execution)
        pool.start_soon(execution)
        return execution

    def _postpone(self, slots: Slots) -> None:
        """Give the message back as if it had never been taken, because no slot is free for its task."""
        worker_state.task_ready(self)
        self.acknowledged = True
        channel, receipt = self._message.channel, self._message.delivery_tag
        if slots.gives_way:
            channel.put_off(receipt, slots.comeback_ms())
        else:
            channel.postpone(receipt)

    def _put_off(self, wish: RunLater) -> None:
        """Give the message back until its job wants to be run."""
        worker_state.task_ready(self)
        self.acknowledged = True
        reason = Failure.of(wish)
        self._message.channel.run_later(self._message.delivery_tag, wish.seconds, reason)
        log.info("Task %s[%s] is to be run in %g s: %s", self.name, self.id, wish.seconds, reason.message)
        if self.is_watched:
            self._eventer.send("task-retried", uuid=self.id, exception=reason.message, traceback="")

    async def _trace(self, execution: Execution) -> Outcome:
        return await self._tracer.trace(self._request_dict, execution)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        self.worker_pid = pid
        self.time_start = time.time()
        worker_state.active_requests.add(self)
        worker_state.total_count[self.name] += 1
        worker_state.all_total_count[0] += 1
        if not self._task.acks_late:
            self.acknowledge()
        if self.is_watched:
            self._eventer.send("task-started", uuid=self.id)
        if self._terminate_on_ack is not None:
            self.terminate(*self._terminate_on_ack)

    def on_success(self, failed__retval__runtime: Outcome, **options: Any) -> None:
        failed, shown, runtime = failed__retval__runtime
        if failed:
            super().on_success(failed__retval__runtime, **options)
            return
        worker_state.task_ready(self)
        if self._task.acks_late:
            self.acknowledge()
        if self.is_watched:
            self._eventer.send("task-succeeded", uuid=self.id, result=shown, runtime=runtime)

    @property
    def is_watched(self) -> bool:
        """Whether this task's events are sent. Remote control may switch them on or off at any time."""
        eventer = self._eventer
        if not eventer or not eventer.enabled or not self._task.send_events:
            return False
        return not eventer.groups or "task" in eventer.groups

    def tell_received(self) -> None:
        """Send the event `task-received`, as Celery's handler does."""
        self._eventer.send(
            "task-received",
            uuid=self.id,
            name=self.name,
            args=self.argsrepr,
            kwargs=self.kwargsrepr,
            root_id=self.root_id,
            parent_id=self.parent_id,
            retries=self._request_dict.get("retries", 0),
            eta=None,
            expires=None,
        )


class ShortWay:
    """The fast path: makes a request of a message and starts it, in fewer steps than Celery's handler."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._tracers = {name: Tracer(task) for name, task in consumer.app.tasks.items()}
        self._deduplicates = consumer.app.conf.worker_deduplicate_successful_tasks
        consumer.pool.tracers = {} if self._deduplicates else self._tracers
        self._does_info = celery_strategy.logger.isEnabledFor(logging.INFO)

    def takes(self, message: Any) -> bool:
        """Start the task of `message`. Returns False, and does nothing, if Celery's handler has to."""
        tracer = self._tracers.get(message.headers.get("task"))
        if tracer is None or self._asks_for_more(tracer.task, message):
            return False
        payload = message.payload
        if not isinstance(payload, list) or payload[2] is None:
            return False
        self._start(LightRequest(message, payload, self._consumer, tracer))
        return True

    def _asks_for_more(self, task: Any, message: Any) -> bool:
        """Return whether the message or its task needs something that only Celery's handler does."""
        return bool(
            not (message.is_usual or _is_plain(message))
            or (self._consumer.task_buckets[task.name] is not None and not message.is_admitted)
            or task.Request != REQUEST
            or self._deduplicates
        )

    def _start(self, request: LightRequest) -> None:
        if self._does_info:
            facts = {"id": request.id, "name": request.name, "args": request.argsrepr, "kwargs": request.kwargsrepr}
            celery_strategy.logger.info(celery_trace.LOG_RECEIVED, {**facts, "eta": None}, extra={"data": facts})
        if request.id in worker_state.revoked and request.revoked():
            return  # without `task-received`, as in Celery's handler
        if signals.task_received.receivers:
            signals.task_received.send(sender=self._consumer, request=request)
        if request.is_watched:
            request.tell_received()
        worker_state.task_reserved(request)
        self._consumer.on_task_request(request)


def _is_plain(message: Any) -> bool:
    """Return whether the message is JSON, and has no header that `LightRequest` does not handle."""
    asked = ("expires", "stamped_headers", "compression")
    is_json = (message.content_type, message.content_encoding) == (JSON, "utf-8")
    return is_json and not any(map(message.headers.get, asked))
