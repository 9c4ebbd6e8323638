"""The message of one job, as kombu's Redis transport and Celery's task protocol 2 expect it on a queue.

Field by field what Celery's own publisher writes, so that any Celery worker can take it, but for what no worker needs:
the body is plain text and not Base64, arguments are shown to monitors as JSON, and nothing is to be replied to.
Protocol: https://docs.celeryq.dev/en/stable/internals/protocol.html (version 2).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson

from celeriac.core.ids import new_id

#: Celery cuts the representations that monitors show at this length.
_REPR_LENGTH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A message's place in Celery's canvas: what is called after it, and the group it belongs to. All as JSON types."""

    callbacks: Any = None
    errbacks: Any = None
    chain: Any = None
    chord: Any = None
    group: str | None = None
    group_index: int | None = None


NO_CANVAS = Canvas()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How one message is delivered, apart from what it says.

    Attributes:
        queue: where it goes.
        parent_id: the job that enqueued it from within.
        root_id: the first job of the tree; the job itself if None.
        eta: not before this time.
        retries: how many attempts came before.
        timeout: seconds until the worker's hard time limit ends the process that runs it.
        canvas: its place in a chain, group or chord.
    """

    queue: str
    parent_id: str | None = None
    root_id: str | None = None
    eta: datetime | None = None
    retries: int = 0
    timeout: float | None = None
    canvas: Canvas = NO_CANVAS


@dataclass(frozen=True)
class EnvelopeWriter:
    """Writes messages for one process (`origin` names it to monitors)."""

    @cached_property
    def origin(self) -> str:
        return f"gen{os.getpid()}@{socket.gethostname()}"

    def write(self, task: str, job_id: str, arguments: bytes, delivery: Delivery) -> bytes:
        """One message. `arguments` is a JSON object: the task's keyword arguments."""
        kwargs_repr = arguments.decode()
        if len(kwargs_repr) > _REPR_LENGTH:
            kwargs_repr = kwargs_repr[: _REPR_LENGTH - 3] + "..."
        canvas = delivery.canvas
        embed = {name: getattr(canvas, name) for name in ("callbacks", "errbacks", "chain", "chord")}
        message: dict[str, Any] = {
            "body": (b"[[]," + arguments + b"," + orjson.dumps(embed) + b"]").decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": task,
                "id": job_id,
                "shadow": None,
                "eta": delivery.eta.isoformat() if delivery.eta else None,
                "expires": None,
                "group": canvas.group,
                "group_index": canvas.group_index,
                "retries": delivery.retries,
                "timelimit": [delivery.timeout, None],
                "root_id": delivery.root_id or job_id,
                "parent_id": delivery.parent_id,
                "argsrepr": "()",
                "kwargsrepr": kwargs_repr,
                "origin": self.origin,
                "ignore_result": False,
                "replaced_task_nesting": 0,
                "stamped_headers": None,
                "stamps": {},
            },
            "properties": {
                "correlation_id": job_id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": delivery.queue},
                "priority": 0,
                # Unique per message, not per job: a job that is enqueued again is another message.
                "delivery_tag": new_id(),
            },
        }
        return orjson.dumps(message)
