"""The attempts that run in this process, so that cancellation can find them."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celeriac.engine.runs import Run


@dataclass(slots=True, kw_only=True, eq=False)
class Attempt:
    """One attempt at a job, as the message and the broker's permit describe it.

    Attributes:
        job_id: id of the job.
        number: counts the attempts of the job, from 1.
        run: number of this run of the job, which tells it from later ones. None if no worker runs it.
        parent_id: id of the job that fanned out to this one.
        root_id: id of the first job of the tree.
        queue: name of the queue that the message came from.
        celery_priority: priority of the message, in Celery's numbers.
        redelivered: whether a worker that was lost had the message before.
        cancelled: whether the attempt was told to stop.
    """

    job_id: str
    number: int
    run: int | None
    parent_id: str | None
    root_id: str
    queue: str
    celery_priority: int
    redelivered: bool = False
    cancelled: bool = field(default=False, init=False)

    @property
    def in_worker(self) -> bool:
        """Whether a worker runs it. If not, the task was called directly or eagerly, and nothing is recorded."""
        return self.run is not None

    @classmethod
    def of(cls, request: Any) -> Attempt:
        """Describe the attempt that Celery's request stands for."""
        job_id, delivery_info = request.id or "", request.delivery_info or {}
        priority = delivery_info.get("priority")
        return cls(
            job_id=job_id,
            number=(request.retries or 0) + 1,
            run=getattr(request, "celeriac_run", None),
            parent_id=request.parent_id,
            root_id=request.root_id or job_id,
            queue=delivery_info.get("routing_key") or "",
            celery_priority=priority if isinstance(priority, int) else 0,
            redelivered=bool(delivery_info.get("redelivered")),
        )


class ActiveAttempts:
    """The attempts that are running now. Cancellation finds them here, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[Attempt, Run] = {}

    @contextmanager
    def going_on(self, attempt: Attempt, run: Run) -> Generator[None]:
        """Register `attempt` inside the `with` block, where it can be found and stopped."""
        with self._lock:
            self._runs[attempt] = run
        try:
            yield
        finally:
            with self._lock:
                del self._runs[attempt]

    def all(self) -> list[Attempt]:
        """List the running attempts that were not told to stop yet."""
        with self._lock:
            return [attempt for attempt in self._runs if not attempt.cancelled]

    def stop(self, attempt: Attempt) -> None:
        """Stop the attempt, unless it was told so before or has ended."""
        with self._lock:
            run = self._runs.get(attempt)
            if run is None or attempt.cancelled:
                return
            attempt.cancelled = True
        run.cancel()
