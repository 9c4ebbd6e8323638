"""The default Celery settings of a Celeriac application. Any setting of the application's own overrides them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac.engine.adoption import RESULT_BACKEND, SAFE_SETTINGS, TRANSPORT_OPTIONS

if TYPE_CHECKING:
    from celeriac.settings import Settings


def celery_defaults(settings: Settings) -> dict[str, Any]:
    """Make the defaults: the settings that make Celery safe on Redis, and those of the class `Celeriac`."""
    return {
        "broker_url": settings.broker(),
        # Without a URL, the backend finds the broker's when it is made.
        "result_backend": f"{RESULT_BACKEND}+{settings.results()}" if settings.result_url else RESULT_BACKEND,
        **SAFE_SETTINGS,
        "result_expires": int(settings.retention),
        # The job's record says that it runs: the script that gives the permit writes that.
        "task_track_started": False,
        # JSON only: nothing that comes from a queue, or from beat's file, can run as code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "beat_scheduler": "celeriac.engine.beat:RememberingScheduler",
        "worker_concurrency": settings.worker_concurrency,
        # Send `task-*` events, for Flower, without the flag `--task-events`.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        # Leave prints of jobs alone. Log lines name the job by themselves (`job_logs.py`).
        "worker_redirect_stdouts": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def life_ms(expires: float | timedelta | None) -> int:
    """Convert one of Celery's `*_expires` settings to ms. 0 if it is not set, or means for ever."""
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    return int((seconds or 0) * 1000)


def transport_options(settings: Settings, given: dict[str, Any]) -> dict[str, Any]:
    """Complete the application's own `broker_transport_options` with Celeriac's defaults.

    The lease does not follow `visibility_timeout`. Applications that come from stock Celery set hours there, because
    long jobs need it. Here, a vanished worker would go unnoticed for that time.
    """
    return {**TRANSPORT_OPTIONS, "lease": settings.lease, **given}
