"""Writes the message of a job as kombu's Redis transport and Celery's task protocol 2 expect it on a queue.

Each field is as Celery's own publisher writes it, so that any Celery worker can run the job. Three things differ, on
which no worker relies: the body is plain text and not Base64, monitors see arguments as JSON, `reply_to` is empty.
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

from celeriac.core import codec
from celeriac.core.ids import new_id

#: Celery cuts the representations that monitors show at this length.
_REPR_LENGTH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A message's place in Celery's canvas: the tasks that follow it, and its group. All are JSON types."""

    callbacks: Any = None
    errbacks: Any = None
    chain: Any = None
    chord: Any = None
    group: str | None = None
    group_index: int | None = None


NO_CANVAS = Canvas()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOptions:
    """The options with which one message is delivered.

    Attributes:
        queue: the queue's name.
        parent_id: the job that enqueued this one.
        root_id: the first job of the tree; the job itself if None.
        eta: the earliest time to run it.
        retries: the number of earlier attempts.
        timeout: seconds until the worker's hard time limit ends the process that runs it.
        celery_priority: Celery's number for the priority on Redis: 0 is the first.
        canvas: its place in a chain, group or chord.
    """

    queue: str
    parent_id: str | None = None
    root_id: str | None = None
    eta: datetime | None = None
    retries: int = 0
    timeout: float | None = None
    celery_priority: int = 0
    canvas: Canvas = NO_CANVAS


class Envelope:
    """The part that messages of one task with the same options share, encoded once."""

    __slots__ = ("_before_correlation", "_before_shown", "_end", "_root")

    def __init__(self, task: str, options: MessageOptions, origin: str) -> None:
        headers, properties = orjson.dumps(_headers(task, options, origin)), orjson.dumps(_properties(options))
        canvas = options.canvas
        embed = {name: getattr(canvas, name) for name in ("callbacks", "errbacks", "chain", "chord")}
        self._before_shown = b"," + headers[1:-1] + b',"kwargsrepr":"'
        self._root = orjson.dumps(options.root_id) if options.root_id else None
        content = b'"content-encoding":"utf-8","content-type":"application/json"'
        self._before_correlation = b'"},' + content + b',"properties":' + properties[:-1] + b',"correlation_id":'
        self._end = _inside_quotes("," + codec.dumps_text(embed) + "]") + b'"}'

    def write(self, job_id: str, tag: str, arguments: bytes) -> bytes:
        """Write one message.

        Args:
            tag: the message's own id, since a job that is enqueued again is another message.
            arguments: a JSON object: the task's keyword arguments.
        """
        quoted_id, text = orjson.dumps(job_id), arguments.decode()
        quoted = _inside_quotes(text)
        shown = quoted if len(text) <= _REPR_LENGTH else _inside_quotes(text[: _REPR_LENGTH - 3] + "...")
        return b"".join(
            (
                # The id comes first: `take.lua` finds it there without a search.
                *(b'{"headers":{"id":', quoted_id, b',"root_id":', self._root or quoted_id, self._before_shown, shown),
                *(self._before_correlation, quoted_id, b',"delivery_tag":"', tag.encode()),
                *(b'"},"body":"[[],', quoted, self._end),
            )
        )


@dataclass(frozen=True)
class EnvelopeWriter:
    """A writer of messages for one process, which monitors see as `origin`."""

    @cached_property
    def origin(self) -> str:
        return f"gen{os.getpid()}@{socket.gethostname()}"

    def envelope(self, task: str, options: MessageOptions) -> Envelope:
        """Make the envelope for many messages."""
        return Envelope(task, options, self.origin)

    def write(self, task: str, job_id: str, arguments: bytes, options: MessageOptions) -> bytes:
        """Write one message. `arguments` is a JSON object: the task's keyword arguments."""
        return self.envelope(task, options).write(job_id, new_id(), arguments)


def _headers(task: str, options: MessageOptions, origin: str) -> dict[str, Any]:
    """Return the headers without `id`, `root_id` and `kwargsrepr`."""
    return {
        "lang": "py",
        "task": task,
        "shadow": None,
        "eta": options.eta.isoformat() if options.eta else None,
        "expires": None,
        "group": options.canvas.group,
        "group_index": options.canvas.group_index,
        "retries": options.retries,
        "timelimit": [options.timeout, None],
        "parent_id": options.parent_id,
        "argsrepr": "()",
        "origin": origin,
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }


def _properties(options: MessageOptions) -> dict[str, Any]:
    """Return the properties without `correlation_id` and `delivery_tag`."""
    return {
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": options.queue},
        "priority": options.celery_priority,
    }


def _inside_quotes(text: str) -> bytes:
    """Escape the text for the inside of a JSON string."""
    return orjson.dumps(text)[1:-1]
