"""Answers `inspect scheduled` with the tasks that have an ETA or a countdown.

Celery lists those that a worker keeps in its memory. Here they wait on the broker, and each worker lists those of its
queues.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from celery.worker import control

from celeriac.core import codec
from celeriac.engine.lease import lease_of
from celeriac.store.redis.errors import SERVER_ERRORS

log = logging.getLogger("celeriac.engine")

#: The most tasks in a list: the next ones.
_COUNT = 100


def install() -> None:
    """Make this process's worker answer in this way."""
    cast(Any, control).inspect_command(name="scheduled", alias="dump_schedule")(_scheduled)


def _scheduled(state: Any, **_: Any) -> list[dict[str, Any]]:
    """List the next tasks with an ETA or a countdown, in Celery's form."""
    consumer = state.consumer
    queues = [queue.name for queue in consumer.task_consumer.queues if queue.exchange.type != "fanout"]
    found = control.scheduled(state)  # tasks of Celery's old protocol, which wait in the worker
    lease = lease_of(consumer)
    if lease is None or not queues:
        return found
    try:
        waiting = lease.hold.scheduled(queues, count=_COUNT)
    except SERVER_ERRORS as error:
        log.warning("the tasks that wait on the broker cannot be listed (%s)", type(error).__name__)
        return found
    return [*found, *(entry for due, message in waiting if (entry := _entry(due, message, consumer.hostname)))]


def _entry(due_ms: int, message: bytes, hostname: str) -> dict[str, Any] | None:
    """Describe a message in the form of Celery's list. None if the message cannot be read."""
    try:
        payload = codec.loads(message)
        headers, properties = payload["headers"], payload["properties"]
        info: dict[str, Any] = properties.get("delivery_info") or {}
        priority = properties.get("priority")
        args, kwargs = _arguments(payload)
        request = {
            "id": headers["id"],
            "name": headers.get("shadow") or headers["task"],
            "args": args,
            "kwargs": kwargs,
            "type": headers["task"],
            "hostname": hostname,
            "time_start": None,
            "acknowledged": False,
            "delivery_info": {
                "exchange": info.get("exchange"),
                "routing_key": info.get("routing_key"),
                "priority": priority,
                "redelivered": bool(payload.get("celeriac-redelivered")),
            },
            "worker_pid": None,
        }
        return {"eta": datetime.fromtimestamp(due_ms / 1000, UTC).isoformat(), "priority": priority, "request": request}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
        return None


def _arguments(payload: dict[str, Any]) -> tuple[Any, Any]:
    """Positional and named arguments. As text if the message came without its body, or the body is no JSON."""
    headers, body = payload["headers"], payload.get("body")
    if body and payload.get("content-type") == "application/json" and not headers.get("compression"):
        raw = b64decode(body) if payload["properties"].get("body_encoding") == "base64" else body
        with suppress(ValueError, TypeError):  # the body is no JSON, or no list of three
            args, kwargs, _ = codec.loads(raw)
            return args, kwargs
    return headers.get("argsrepr"), headers.get("kwargsrepr")
