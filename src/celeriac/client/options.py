"""The options with which one job is enqueued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celeriac.core.ids import is_valid_id
from celeriac.core.routing import check_priority
from celeriac.core.text import FAULT, is_unicode

#: Seconds for which an idempotency key may be kept: the server counts milliseconds, and each key has a bounded life.
_SHORTEST_S, _LONGEST_S = 1.0, 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """The options with which one job is enqueued.

    Attributes:
        queue: a queue in place of the job's own.
        priority: 0 to 9, higher first, in place of the job's own.
        delay: seconds, or a timedelta, before the job may run.
        at: the earliest time to run it (aware); excludes `delay`.
        idempotency_key: the same key with the same request yields the same job.
        idempotency_life: seconds, or a timedelta, for which the key is kept. Default: 24 hours.
        fingerprint: hexadecimal digits that tell requests apart if the job's arguments do not.
        job_id: the id to use instead of a random one.
    """

    queue: str | None = None
    priority: int | None = None
    delay: float | timedelta | None = None
    at: datetime | None = None
    idempotency_key: str | None = None
    idempotency_life: float | timedelta = timedelta(days=1)
    fingerprint: str | None = None
    job_id: str | None = None

    def __post_init__(self) -> None:
        if self.priority is not None:
            check_priority(self.priority)
        for name, text in (("queue", self.queue), ("idempotency_key", self.idempotency_key)):
            if text is not None and not is_unicode(text):
                raise ValueError(f"{name}={text!r}: {FAULT}")
        if not _SHORTEST_S <= _seconds(self.idempotency_life) <= _LONGEST_S:
            raise ValueError(f"idempotency_life={self.idempotency_life}: expected 1 s to 10 years")

    @property
    def idempotency_life_ms(self) -> int:
        """Milliseconds for which the idempotency key is kept."""
        return round(1000 * _seconds(self.idempotency_life))

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
        return datetime.now(UTC) + timedelta(seconds=_seconds(self.delay))


def _seconds(length: float | timedelta) -> float:
    return length.total_seconds() if isinstance(length, timedelta) else length


NO_OPTIONS = EnqueueOptions()


def check_id(job_id: str) -> None:
    """Raise `ValueError` if a job cannot have this id."""
    if not is_valid_id(job_id):
        raise ValueError(f"job_id={job_id[:64]!r}: use 1 to 128 letters, digits, or the marks _ . : -")


def check_chosen(calls: Sequence[object], job_ids: Sequence[str] | None) -> None:
    """Raise `ValueError` unless `job_ids` has a valid id for each of `calls`, or is None."""
    if job_ids is None:
        return
    if len(job_ids) != len(calls):
        raise ValueError(f"{len(job_ids)} job_ids for {len(calls)} calls: give one id for each call")
    for job_id in job_ids:
        check_id(job_id)
