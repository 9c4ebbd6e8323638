"""The settings that give an application of stock Celery this engine."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from celeriac.core.errors import ConfigurationError
from celeriac.core.routing import Routing

#: Our transport, result backend and consumer, as Celery names classes.
TRANSPORT = "celeriac.engine.transport:Transport"
RESULT_BACKEND = "celeriac.engine.backend:ResultBackend"
CONSUMER = "celeriac.engine.consumer:Consumer"
#: The asyncio pool, unless a command line says `--pool=...`.
POOL = "celeriac.engine.pools:Default"

#: Seconds that a worker's lease lasts unless it is renewed: the shortest, the usual and the longest.
SHORTEST_LEASE, USUAL_LEASE, LONGEST_LEASE = 2.0, 15.0, 3600.0
#: Seconds Celery's own, blocking, publisher may wait for a connection or a reply.
_SOCKET_TIMEOUT = 2.5
_SOCKET_OPTIONS = {"socket_timeout": _SOCKET_TIMEOUT, "socket_connect_timeout": _SOCKET_TIMEOUT}
#: Options of the transport that have nothing to do with one application.
TRANSPORT_OPTIONS: dict[str, Any] = {**_SOCKET_OPTIONS, "socket_keepalive": True, "health_check_interval": 10}
#: What makes work on Redis safe. Every line names the fault of stock Celery on Redis that it closes.
SAFE_SETTINGS: dict[str, Any] = {
    "worker_consumer": CONSUMER,
    # `async def` tasks, 1,000 at a time; `def` tasks in threads.
    "worker_pool": POOL,
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
    **{f"redis_{name}": value for name, value in _SOCKET_OPTIONS.items()},
    "redis_socket_keepalive": True,
    # One for all threads: a group's results can be waited for in another thread than the one that made them.
    "result_backend_thread_safe": True,
}


def celery_settings(broker_url: str, result_url: str | None = None, *, lease: float = USUAL_LEASE) -> dict[str, Any]:
    """The settings that give a plain `celery.Celery` application Celeriac's transport, result backend and worker.

        app.conf.update(celery_settings("redis://127.0.0.1:6379/0"))

    They replace settings of the same names, `broker_transport_options` as a whole.

    Args:
        broker_url: one `redis://` or `rediss://` URL; the latter with `?ssl_cert_reqs=required`, as Celery wants it.
        result_url: where results are kept; by default the broker.
        lease: seconds after which the tasks of a worker that has vanished are run elsewhere.

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
    """The URL of the broker of a Celery application; None if it is none, or its broker is no Redis."""
    conf = getattr(app, "conf", None)
    url = str(getattr(conf, "broker_write_url", None) or getattr(conf, "broker_url", None) or "")
    return url if url.startswith(("redis://", "rediss://", "redis+socket://")) else None


def routing_of(app: Any) -> Routing:
    """What an application's settings say of where its messages go."""
    conf, default = app.conf, Routing()
    transport: dict[str, Any] = conf.broker_transport_options or {}
    return Routing(
        default_queue=str(conf.task_default_queue),
        default_priority=int(conf.task_default_priority or 0),
        steps=tuple(transport.get("priority_steps") or default.steps),
        separator=str(transport.get("sep") or default.separator),
    )


def checked_lease(lease: Any) -> float:
    """`lease` in seconds.

    Raises:
        ConfigurationError: it is no number, or out of range.
    """
    number = isinstance(lease, int | float) and not isinstance(lease, bool)
    if not number or not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        raise ConfigurationError(
            f"lease={lease!r} (in broker_transport_options): give seconds from {SHORTEST_LEASE:g} to {LONGEST_LEASE:g}"
        )
    return float(lease)


def _check_url(name: str, url: str) -> None:
    """Raise ConfigurationError unless Celery can connect to `url` by settings alone. Shows no part of it."""
    if ";" in url:
        raise ConfigurationError(f"{name}: give one URL; over several, Celery goes back to its own transport")
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss"):
        raise ConfigurationError(f"{name}: give a URL that starts with redis:// or rediss://")
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        raise ConfigurationError(f"{name}: add ?ssl_cert_reqs=required to a URL that starts with rediss://")
