"""The Celery settings of our own applications. What an application sets by itself wins over them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac.engine.adoption import RESULT_BACKEND, SAFE_SETTINGS, TRANSPORT_OPTIONS

if TYPE_CHECKING:
    from celeriac.settings import Settings


def celery_defaults(settings: Settings) -> dict[str, Any]:
    """What makes work on Redis safe, and what our applications do otherwise besides."""
    return {
        "broker_url": settings.broker(),
        # Without a URL: on the broker, wherever that will be.
        "result_backend": f"{RESULT_BACKEND}+{settings.results()}" if settings.result_url else RESULT_BACKEND,
        **SAFE_SETTINGS,
        "result_expires": int(settings.retention),
        # The record says when a job runs: `Task.before_start` writes it, in the same step that asks for leave.
        "task_track_started": False,
        # JSON only: what is on a queue, or in beat's memory, is never executed as code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "beat_scheduler": "celeriac.engine.beat:RememberingScheduler",
        "worker_concurrency": settings.worker_concurrency,
        # Flower and `task-*` events, without the flag.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        # The worker's own log lines name the job; prints of jobs stay prints.
        "worker_redirect_stdouts": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def life_ms(expires: float | timedelta | None) -> int:
    """A setting of Celery's for how long something is kept, in ms; 0 if it is kept for ever, or nothing is set."""
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    return int((seconds or 0) * 1000)


def transport_options(settings: Settings, given: dict[str, Any]) -> dict[str, Any]:
    """The application's own `broker_transport_options`, with what they leave out.

    A `visibility_timeout` is none of them: applications that come from stock Celery have one of hours, which there is
    the price of long jobs, and here would be the time that a vanished worker goes unnoticed.
    """
    return {**TRANSPORT_OPTIONS, "lease": settings.lease, **given}
