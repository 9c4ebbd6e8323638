"""The settings that give a stock Celery application Celeriac's engine."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from celeriac.core.errors import ConfigurationError
from celeriac.core.routing import Routing

#: Celeriac's transport, result backend and consumer, as Celery names classes.
TRANSPORT = "celeriac.engine.transport:Transport"
RESULT_BACKEND = "celeriac.engine.backend:ResultBackend"
CONSUMER = "celeriac.engine.consumer:Consumer"
#: The asyncio pool, unless a command line says `--pool=...`.
POOL = "celeriac.engine.pools:Default"

#: How long a worker's lease lasts unless it is renewed: the shortest, the usual and the longest.
SHORTEST_LEASE_S, USUAL_LEASE_S, LONGEST_LEASE_S = 2.0, 15.0, 3600.0
#: How long Celery's own, blocking publisher may wait for a connection or a reply.
_SOCKET_TIMEOUT_S = 2.5
_SOCKET_OPTIONS = {"socket_timeout": _SOCKET_TIMEOUT_S, "socket_connect_timeout": _SOCKET_TIMEOUT_S}
#: Options of the transport that are the same for all applications.
TRANSPORT_OPTIONS: dict[str, Any] = {**_SOCKET_OPTIONS, "socket_keepalive": True, "health_check_interval": 10}
#: Settings that make Celery safe on Redis. Each comment names what the setting achieves.
SAFE_SETTINGS: dict[str, Any] = {
    "worker_consumer": CONSUMER,
    # `async def` tasks, 1,000 at a time; `def` tasks in threads.
    "worker_pool": POOL,
    # Acknowledge a message after its job has ended. Give it back if the process that ran the job died.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # Jobs wait in the queue, where any worker can take them, and not behind a long job in a busy worker.
    "worker_prefetch_multiplier": 1,
    "broker_connection_timeout": 2.0,
    # Workers and beat outlast an absent broker, also at start. Publishers fail instead of hanging.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # Try again when the server refuses commands for a while, such as a replica that is about to become primary.
    "broker_channel_error_retry": True,
    "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1},
    **{f"redis_{name}": value for name, value in _SOCKET_OPTIONS.items()},
    "redis_socket_keepalive": True,
    # Share one backend among all threads, so that another thread can wait for the results of a group.
    "result_backend_thread_safe": True,
}


def celery_settings(broker_url: str, result_url: str | None = None, *, lease: float = USUAL_LEASE_S) -> dict[str, Any]:
    """Make the settings that give a plain `celery.Celery` application Celeriac's transport, result backend and worker.

        app.conf.update(celery_settings("redis://127.0.0.1:6379/0"))

    They replace settings of the same names, including all of `broker_transport_options`.

    Args:
        broker_url: one `redis://` or `rediss://` URL. With `rediss://`, Celery needs `?ssl_cert_reqs=required`.
        result_url: the URL of the result store. Default: the broker.
        lease: after how many seconds other workers run the tasks of a vanished worker.

    Raises:
        ConfigurationError: a URL or the lease cannot be used.
    """
    results = broker_url if result_url is None else result_url
    _check_url("broker_url", broker_url)
    _check_url("result_url", results)
    return {
        "broker_url": broker_url,
        "broker_transport": TRANSPORT,
        "broker_transport_options": {"lease": checked_lease(lease), **TRANSPORT_OPTIONS},
        "result_backend": f"{RESULT_BACKEND}+{results}",
        **SAFE_SETTINGS,
    }


def broker_url_of(app: Any) -> str | None:
    """Return the broker's URL of a Celery application; None for any other object, and if the broker is no Redis."""
    conf = getattr(app, "conf", None)
    url = str(getattr(conf, "broker_write_url", None) or getattr(conf, "broker_url", None) or "")
    return url if url.startswith(("redis://", "rediss://", "redis+socket://")) else None


def routing_of(app: Any) -> Routing:
    """Read from an application's settings where its messages go."""
    conf, default = app.conf, Routing()
    transport: dict[str, Any] = conf.broker_transport_options or {}
    return Routing(
        default_queue=str(conf.task_default_queue),
        default_priority=int(conf.task_default_priority or 0),
        steps=tuple(transport.get("priority_steps") or default.steps),
        separator=str(transport.get("sep") or default.separator),
    )


def checked_lease(lease: Any) -> float:
    """Check a lease, in seconds.

    Raises:
        ConfigurationError: it is no number, or out of range.
    """
    number = isinstance(lease, int | float) and not isinstance(lease, bool)
    if not number or not SHORTEST_LEASE_S <= lease <= LONGEST_LEASE_S:
        raise ConfigurationError(
            f"lease={lease!r} (in broker_transport_options): "
            f"give seconds from {SHORTEST_LEASE_S:g} to {LONGEST_LEASE_S:g}"
        )
    return float(lease)


def _check_url(name: str, url: str) -> None:
    """Raise ConfigurationError unless Celery can connect to `url` by settings alone. Messages show no part of it."""
    if ";" in url:
        raise ConfigurationError(f"{name}: give one URL; with several, Celery goes back to its own transport")
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss"):
        raise ConfigurationError(f"{name}: give a URL that starts with redis:// or rediss://")
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        raise ConfigurationError(f"{name}: add ?ssl_cert_reqs=required to a URL that starts with rediss://")
