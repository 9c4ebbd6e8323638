"""The attempts that are being made in this process."""

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
        job_id: the job.
        number: which attempt it is, from 1.
        run: the run of the job that it is, to be told from later ones; None if no worker runs it.
        parent_id: the job that fanned out to this one.
        root_id: the first job of the tree.
        queue: where its message came from.
        celery_priority: what its message has as such.
        cancelled: whether it was told to stop.
    """

    job_id: str
    number: int
    run: int | None
    parent_id: str | None
    root_id: str
    queue: str
    celery_priority: int
    cancelled: bool = field(default=False, init=False)

    @property
    def in_worker(self) -> bool:
        """Whether a worker runs it; else its task was called directly, or eagerly, and nothing is recorded."""
        return self.run is not None

    @classmethod
    def of(cls, request: Any) -> Attempt:
        """The attempt of the request that Celery is executing."""
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
        )


class ActiveAttempts:
    """Attempts that go on, to be found by those that want to stop them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[Attempt, Run] = {}

    @contextmanager
    def going_on(self, attempt: Attempt, run: Run) -> Generator[None]:
        """While inside, `attempt` can be found and stopped."""
        with self._lock:
            self._runs[attempt] = run
        try:
            yield
        finally:
            with self._lock:
                del self._runs[attempt]

    def all(self) -> list[Attempt]:
        """Those that go on and have not been told to stop."""
        with self._lock:
            return [attempt for attempt in self._runs if not attempt.cancelled]

    def stop(self, attempt: Attempt) -> None:
        """Tell it to stop, unless it has been told, or has ended."""
        with self._lock:
            run = self._runs.get(attempt)
            if run is None or attempt.cancelled:
                return
            attempt.cancelled = True
        run.cancel()
