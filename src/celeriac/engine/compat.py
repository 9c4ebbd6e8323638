"""Bridges the differences between the supported versions of Celery and kombu, 5.5 to 5.7."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from celery.app.task import Context
from celery.backends import base as backends
from celery.worker import state as worker_state

#: Undoes `result_compression` (Celery 5.7). Returns other payloads unchanged.
decompressed: Callable[[Any], Any] = getattr(backends, "decompress_payload", lambda payload: payload)


def ignores_result(task: Any, request: Any) -> bool:
    """Return whether to drop the result of this run: the caller decides, else the task.

    Celery 5.7 has it as `get_actual_ignore_result`. A `Context` always has the attribute, in its class.
    """
    if request is None:
        return task.ignore_result
    chosen = vars(request).get("ignore_result") if isinstance(request, Context) else request.ignore_result
    return task.ignore_result if chosen is None else chosen


def merge_revoked(task_ids: Collection[str]) -> None:
    """Add tasks to those that this worker knows to be revoked. Celery 5.7 has it in `celery.worker.state`."""
    worker_state.revoked.update(list(task_ids))


def chord_lives(backend: Any) -> tuple[int, int]:
    """Return how long (s) to keep a chord's counter, and its parts. 0 means forever.

    Before Celery 5.7, which has `result_chord_expires`, both live as long as results.
    """
    results = int(backend.expires or 0)
    counter = int(getattr(backend, "chord_expires", results) or 0)
    return counter, max(counter, results) if counter and results else 0


def takes_preload_options(callback: Any) -> Any:
    """Let a command's callback be called with preload options that it does not take (Celery 5.7)."""
    from celery.bin import base

    wrap: Callable[[Any], Any] = getattr(base, "consume_preload_options", lambda callback: callback)
    return wrap(callback)
