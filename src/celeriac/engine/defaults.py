"""The Celery settings that make work on Redis safe. An application's own settings win over them."""

from __future__ import annotations

from typing import Any

from celeriac.settings import Settings

#: Our result backend, as Celery names classes.
RESULT_BACKEND = "celeriac.engine.backend:ResultBackend"
#: Our consumer, which brings the steps that a worker on our transport needs.
CONSUMER = "celeriac.engine.consumer:Consumer"

#: Seconds Celery's own, blocking, publisher may wait for a connection or a reply.
_SOCKET_TIMEOUT = 2.5


def celery_defaults(settings: Settings) -> dict[str, Any]:
    """Defaults for an application; every line names the fault of stock Celery on Redis that it closes."""
    return {
        "broker_url": settings.broker(),
        "result_backend": f"{RESULT_BACKEND}+{settings.results()}",
        "worker_consumer": CONSUMER,
        # A message is acknowledged after its job has ended, and goes back if the process that ran it died.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Jobs wait in the queue, where any worker can take them, and not behind a long one in a busy worker.
        "worker_prefetch_multiplier": 1,
        "broker_connection_timeout": 2.0,
        # Workers and beat outlast a broker that is away, also at start; publishers fail instead of hanging.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A server that refuses commands for a while, a replica that is about to become primary say, comes round again.
        "broker_channel_error_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1},
        "redis_socket_timeout": _SOCKET_TIMEOUT,
        "redis_socket_connect_timeout": _SOCKET_TIMEOUT,
        "redis_socket_keepalive": True,
        # One for all threads: a group's results can be waited for in another thread than the one that made them.
        "result_backend_thread_safe": True,
        "result_expires": int(settings.retention),
        # The record says when a job runs: `Task.before_start` writes it, in the same step that asks for leave.
        "task_track_started": False,
        # JSON only: what is on a queue is never executed as code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "worker_concurrency": settings.worker_concurrency,
        # Flower and `task-*` events, without the flag.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        # The worker's own log lines name the job; prints of jobs stay prints.
        "worker_redirect_stdouts": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def transport_options(settings: Settings, given: dict[str, Any]) -> dict[str, Any]:
    """The application's own `broker_transport_options`, with what they leave out, and our lease.

    The lease is no matter of Celery's settings: applications that come from stock Celery have a `visibility_timeout`
    of hours, which there is the price of long jobs, and here would be the time that a vanished worker goes unnoticed.
    """
    defaults = {
        "socket_timeout": _SOCKET_TIMEOUT,
        "socket_connect_timeout": _SOCKET_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
    return {**defaults, **given, "visibility_timeout": settings.lease}
