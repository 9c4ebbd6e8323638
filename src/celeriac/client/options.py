"""The options with which one job is enqueued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celeriac.core.routing import check_priority
from celeriac.core.text import FAULT, is_unicode


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """The options with which one job is enqueued.

    Attributes:
        queue: a queue in place of the job's own.
        priority: 0 to 9, higher first, in place of the job's own.
        delay: seconds, or a timedelta, before the job may run.
        at: the earliest time to run it (aware); excludes `delay`.
        idempotency_key: the same key with the same request, within 24 hours, yields the same job.
        fingerprint: hexadecimal digits that tell requests apart if the job's arguments do not.
        job_id: the id to use instead of a random one.
    """

    queue: str | None = None
    priority: int | None = None
    delay: float | timedelta | None = None
    at: datetime | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    job_id: str | None = None

    def __post_init__(self) -> None:
        if self.priority is not None:
            check_priority(self.priority)
        for name, text in (("queue", self.queue), ("idempotency_key", self.idempotency_key)):
            if text is not None and not is_unicode(text):
                raise ValueError(f"{name}={text!r}: {FAULT}")

    def due(self) -> datetime | None:
        """Return when the job may run; None: at once."""
        if self.at is not None:
            if self.delay is not None:
                raise ValueError("give `delay` or `at`, not both")
            if self.at.tzinfo is None:
                raise ValueError("`at` needs a time zone, such as datetime(..., tzinfo=UTC)")
            return self.at.astimezone(UTC)
        if not self.delay:
            return None
        delay = self.delay if isinstance(self.delay, timedelta) else timedelta(seconds=self.delay)
        return datetime.now(UTC) + delay


NO_OPTIONS = EnqueueOptions()
