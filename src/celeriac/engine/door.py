"""The door of a worker: checks each message once, and refuses what cannot run.

A refused message becomes a dead letter with its cause. Its job, if there is one, fails, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

from celery import signals

from celeriac.core import codec
from celeriac.core.background import background
from celeriac.core.checks import check_canvas, is_number, name_of
from celeriac.core.errors import InvalidMessage
from celeriac.engine import bridge
from celeriac.engine.aio.pool import Pool
from celeriac.engine.aio.requests import ShortWay
from celeriac.engine.causes import Cause, note
from celeriac.engine.messages import Message, check
from celeriac.engine.rate_limits import RateLimits
from celeriac.engine.task import PERMIT_PATIENCE_S
from celeriac.engine.transport import is_receipt
from celeriac.store.jobs.beginnings import Beginning, begin
from celeriac.store.redis.errors import ResponseError

log = logging.getLogger("celery.worker.consumer.consumer")

_refusing: set[asyncio.Task[None]] = set()


class Door:
    """Lets the messages of tasks in: to the fast path of the asyncio pool, or to Celery's handler."""

    def __init__(self, consumer: Any, celerys: Any) -> None:
        self._consumer = consumer
        self._celerys = celerys
        self._short_way = ShortWay(consumer) if isinstance(consumer.pool, Pool) else None
        self._limits = RateLimits(consumer)
        self._known = consumer.strategies
        #: Typed jobs, whose arguments are plain data: kombu's type marks are not decoded in them.
        self._typed: frozenset[str] = frozenset(getattr(consumer.app, "specs", ()))

    def handle(self, message: Any) -> None:
        """Check a message, and let its task run."""
        if not isinstance(message, Message):  # from another transport, such as `memory://`: leave it to Celery
            self._celerys(message)
            return
        consumer = self._consumer
        if message.errors:
            consumer.on_decode_error(message, message.errors[0][1])
            return
        name: Any = message.headers.get("task")
        if name is not None and not (isinstance(name, str) and name in self._known):
            self._unknown(message, name)
            return
        message.has_markup = name not in self._typed
        try:
            payload = message.payload
            if name is None and not (isinstance(payload, dict) and "task" in payload):
                consumer.on_unknown_message(payload, message)
                return
            check(message)
        except InvalidMessage as error:
            consumer.on_decode_error(message, error)
            return
        except Exception as error:  # a content type that is not accepted, or whatever the user's serializer raises
            consumer.on_invalid_task(None, message, error)
            return
        if name is None or self._limits.admits(message, name, self._let_in):
            self._let_in(message)

    def _let_in(self, message: Any) -> None:
        if self._short_way is None or not self._short_way.takes(message):
            self._celerys(message)

    def _unknown(self, message: Any, name: Any) -> None:
        known = name_of(message.headers, "task")
        if known:
            self._consumer.on_unknown_task(None, message, KeyError(known))
        else:
            self._consumer.on_decode_error(message, InvalidMessage("headers.task must be the name of a task"))


def refuse(consumer: Any, message: Any, error: BaseException, cause: str | None = None) -> None:
    """Make a dead letter of a message that cannot run, and fail its job with `error`."""
    if isinstance(consumer.pool, Pool) and is_receipt(message.delivery_tag):
        refusing = background(bridge.call(_refuse, consumer, message, error, cause), name="celeriac-refusal")
        _refusing.add(refusing)
        refusing.add_done_callback(_refusing.discard)
    else:
        _refuse(consumer, message, error, cause)


def _refuse(consumer: Any, message: Any, error: BaseException, cause: str | None) -> None:
    why = Cause.of(cause or error)
    log.error("message %s from %r is refused: %s", message.delivery_tag, _queue_of(message), why.text)
    try:
        if is_receipt(message.delivery_tag):  # a broadcast has no job
            _fail_job(consumer, message, error)
    except Exception:
        log.exception("the job of message %s could not be failed; its message is a dead letter", message.delivery_tag)
    note(message.delivery_tag, why)
    message.reject_log_error(log, consumer.connection_errors)
    signals.task_rejected.send(sender=consumer, message=message, exc=error)


def _fail_job(consumer: Any, message: Any, error: BaseException) -> None:
    """Begin the message's job and fail it at once, unless it has ended, or runs from another message."""
    app, facts = consumer.app, _facts(message)
    task_id, task, retries = name_of(facts, "id"), name_of(facts, "task"), facts.get("retries")
    if not task_id:
        return
    request = SimpleNamespace(
        id=task_id,
        task=task,
        name=task,
        root_id=name_of(facts, "root_id"),
        parent_id=name_of(facts, "parent_id") or None,
        group=name_of(facts, "group") or None,
        retries=retries if type(retries) is int and retries > 0 else 0,
        properties=message.properties,
        delivery_info=message.delivery_info,
        correlation_id=task_id,
        reply_to=None,
        **_canvas_of(message),
    )
    if getattr(app, "keeps_job_records", False):
        beginning = Beginning(
            job_id=task_id,
            task=task,
            queue=_queue_of(message),
            parent_id=request.parent_id,
            attempt=request.retries + 1,
            worker=consumer.hostname,
            receipt=message.delivery_tag,
            retention_ms=app.retention_ms,
        )
        (permit,) = app.records.run(begin([beginning]), patience=PERMIT_PATIENCE_S)
        if isinstance(permit, ResponseError):
            raise permit
        if permit.verdict != "run":
            return
        request.celeriac_run = permit.run
    app.backend.mark_as_failure(task_id, error, request=request)
    if consumer.event_dispatcher:
        consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error))


def _canvas_of(message: Any) -> dict[str, Any]:
    """The task's place in Celery's canvas, which is told of the failure. Empty if that cannot be read either."""
    nowhere: dict[str, Any] = {"chord": None, "errbacks": None, "chain": None, "group_index": None}
    try:
        body: Any = message.payload
    except Exception:  # the arguments may be what cannot be decoded
        body = message.body
    try:
        body = codec.loads(body) if isinstance(body, bytes) else body
        told: dict[str, Any] = body if isinstance(body, dict) else body[2]
        embedded = {name: told[name] for name in ("chord", "errbacks", "chain") if told.get(name)}
        check_canvas(embedded)
    except (InvalidMessage, ValueError, TypeError, LookupError, AttributeError):
        return nowhere
    index = _facts(message).get("group_index")
    return {**nowhere, **embedded, "group_index": index if is_number(index, int) else None}


def _facts(message: Any) -> Any:
    """Return the part of the message that describes its task: the headers, or, in Celery's first protocol, the body."""
    try:
        return message.payload if "id" not in message.headers and isinstance(message.payload, dict) else message.headers
    except Exception:  # the body cannot be decoded, which may be why the message is refused
        return message.headers


def _queue_of(message: Any) -> str:
    return name_of(message.delivery_info, "routing_key")
