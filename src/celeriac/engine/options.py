"""Says how Celeriac treats each option of Celery's workers: the command line, the settings, and kombu's for Redis.

The start check (`start_check.py`) and docs/reference/celery-options.md use this one table. A test compares it with
Celery's own lists, so that somebody has to decide about each option that a new release adds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple


class Fate(Enum):
    """How Celeriac treats an option."""

    WORKS = "works"
    """Celeriac does what the option says."""
    CELERYS = "Celery's"
    """Celery does what it says, and Celeriac changes nothing about it."""
    IDLE = "nothing to do"
    """It is accepted, and has no effect. The note says why."""
    REFUSED = "refused"
    """The worker does not start with it. The note says why."""


class Where(Enum):
    """Which workers refuse an option. In all others, Celery handles it."""

    ASYNCIO = "the asyncio pool"
    ALONE = "the asyncio pool outside of `celeriac worker`"
    CLASS = "the class `Celeriac`"
    EVERY = "every worker"


class Refusal(NamedTuple):
    """Makes some workers refuse to start with an option, because they would ignore it.

    Attributes:
        reason: why, and what to do instead.
        where: which workers refuse it.
        values: which values they refuse. Default: each that differs from Celery's default.
    """

    reason: str
    where: Where = Where.ASYNCIO
    values: Callable[[Any], bool] | None = None


class Option(NamedTuple):
    """How the asyncio worker treats one option, and what a user should know."""

    fate: Fate
    note: str = ""
    refusal: Refusal | None = None


def _works(note: str = "", *, unless: Refusal | None = None) -> Option:
    return Option(Fate.WORKS, note, unless)


def _celerys(note: str = "") -> Option:
    return Option(Fate.CELERYS, note)


def _idle(note: str) -> Option:
    return Option(Fate.IDLE, note)


def _refused(reason: str, where: Where = Where.ASYNCIO, values: Callable[[Any], bool] | None = None) -> Option:
    return Option(Fate.REFUSED, "", Refusal(reason, where, values))


def _never(value: Any) -> bool:
    """For the setting that the pool checks by itself (`start_check.check_consumer`)."""
    return False


def _is_empty(value: Any) -> bool:
    return not value


def _is_false(value: Any) -> bool:
    return value is False


def _names_a_prefix(value: Any) -> bool:
    return "global_keyprefix" in (value or {})


def _each(option: Option, names: str) -> dict[str, Option]:
    return dict.fromkeys(names.split(), option)


def _with_prefix(prefix: str, names: str) -> str:
    return " ".join(f"{prefix}_{name}" for name in names.split())


_NOTHING_HELD = "the asyncio pool takes what it can begin, and no more"
_PREFORK = "of the processes of prefork, which the asyncio pool does not have"
_RABBITMQ = "of brokers other than Redis"
_LEASES = "a lease that is renewed says which messages are abandoned"
_IN_URL = "the asyncio pool and Celeriac's clients connect by the URL alone: write it into broker_url"
_OWN_DATABASE = "give the application a database of its own, as in redis://host:6379/1"
_CONSUMER = "the asyncio pool needs celeriac.engine.consumer.Consumer or a subclass of it"
_BACKEND = _celerys("for result backends other than ours")
_CELERYS = _celerys()
_RECYCLED = _works(
    "the shards of `celeriac worker` are replaced",
    unless=Refusal(
        "the asyncio pool has no child that could be replaced: start the worker by `celeriac worker`, "
        "which replaces its shards",
        Where.ALONE,
    ),
)


#: The options of `celery worker`, by their long names.
COMMAND_LINE: dict[str, Option] = {
    **_each(
        _CELERYS,
        "hostname statedb loglevel task-events purge queues exclude-queues include without-gossip without-mingle "
        "without-heartbeat heartbeat-interval schedule scheduler logfile pidfile uid gid umask executable",
    ),
    "detach": _celerys("`celeriac worker` refuses it: your service manager does that"),
    "beat": _celerys("`celeriac worker` refuses it: each shard would run beat"),
    "pool": _works("asyncio unless one is named"),
    "concurrency": _works("tasks at a time, 1,000 by default; `auto`: as many as there are cores"),
    "time-limit": _works(),
    "soft-time-limit": _works(),
    "optimization": _idle("`fair` is how the asyncio pool works: no task waits behind another one"),
    "prefetch-multiplier": _idle(_NOTHING_HELD),
    "disable-prefetch": _works(_NOTHING_HELD),
    "pool-start-method": _idle(_PREFORK),
    "max-tasks-per-child": _RECYCLED,
    "max-memory-per-child": _RECYCLED,
    "autoscale": _refused(
        "the asyncio pool has no processes to add or to end: give the greatest number as --concurrency"
    ),
}

#: Celery's settings, by their new names.
SETTINGS: dict[str, Option] = {
    **_each(_works(), "accept_content"),
    **_each(_CELERYS, "result_accept_content enable_utc imports include timezone"),
    **_each(
        _CELERYS,
        _with_prefix(
            "beat",
            "enable_remote_control remote_control_max_tick_age max_loop_interval schedule scheduler schedule_filename "
            "sync_every cron_starting_deadline",
        ),
    ),
    **_each(_works(), _with_prefix("broker", "url read_url write_url")),
    "broker_transport_options": _works("see [below](#options-of-the-transport)"),
    **_each(
        _CELERYS,
        _with_prefix(
            "broker",
            "transport connection_retry connection_retry_on_startup connection_max_retries channel_error_retry "
            "failover_strategy pool_limit pool_acquire_timeout",
        ),
    ),
    "broker_connection_timeout": _idle("for Redis kombu has `socket_connect_timeout`"),
    **_each(
        _idle(_RABBITMQ),
        _with_prefix("broker", "heartbeat heartbeat_checkrate login_method native_delayed_delivery_queue_type"),
    ),
    **_each(_refused(_IN_URL), _with_prefix("broker", "host port user password vhost")),
    "broker_use_ssl": _refused(f"{_IN_URL}, as in rediss://…?ssl_cert_reqs=required&ssl_ca_certs=/path"),
    **_each(_CELERYS, _with_prefix("control", "queue_ttl queue_expires queue_exclusive queue_durable exchange")),
    **_each(
        _CELERYS,
        _with_prefix("event", "queue_expires queue_ttl queue_prefix queue_exclusive queue_durable serializer exchange"),
    ),
    **_each(
        _CELERYS,
        _with_prefix(
            "redis",
            "backend_use_ssl db host max_connections username password port socket_timeout socket_connect_timeout "
            "retry_on_timeout socket_keepalive",
        ),
    ),
    "result_backend": _works(
        "any of Celery's, or none; with the class, records are kept on Redis, and one of another kind gets a copy"
    ),
    "result_expires": _works(
        "with the class, of a job's record and events too; there it cannot be 0 or None",
        unless=Refusal("the class keeps no job for ever: give seconds", Where.CLASS, _is_empty),
    ),
    "result_chord_expires": _works(),
    "result_failure_expires": _works(),
    "result_extended": _works(),
    "result_serializer": _works(),
    "result_backend_transport_options": _celerys("with the class, all but `global_keyprefix`")._replace(
        refusal=Refusal(
            f"the class knows no global_keyprefix: {_OWN_DATABASE}",
            Where.CLASS,
            _names_a_prefix,
        )
    ),
    **_each(
        _CELERYS,
        _with_prefix(
            "result",
            "cache_max compression exchange exchange_type persistent chord_retry_interval chord_join_timeout "
            "backend_max_sleep_between_retries_ms backend_max_retries backend_base_sleep_between_retries_ms "
            "backend_always_retry",
        ),
    ),
    **_each(
        _works(),
        _with_prefix(
            "task",
            "acks_late compression default_queue "
            "default_priority ignore_result inherit_parent_priority reject_on_worker_lost "
            "serializer soft_time_limit time_limit store_errors_even_if_ignored",
        ),
    ),
    "task_acks_on_failure": _works("where it is off, a task that fails is a dead letter; not for typed jobs"),
    **_each(
        _works("where it is off, a task that runs out of time fails and runs again, five times at most"),
        "task_acks_on_failure_or_timeout task_acks_on_timeout",
    ),
    "task_default_rate_limit": _works("for each worker; a task over it waits on the broker"),
    "beat_scheduler": _celerys("the class names one that remembers in JSON; Celery's own remembers in a pickle"),
    "task_track_started": _works("with the class, the record tells it without"),
    "task_routes": _celerys("typed jobs name their queue themselves: `@app.job(queue=…)`"),
    "task_send_sent_event": _celerys("`enqueue` of typed jobs sends none"),
    "task_retry_on_worker_lost": _idle(
        "of the processes of prefork. A task whose worker has vanished runs again in any case, five times at most"
    ),
    **_each(
        _CELERYS,
        _with_prefix(
            "task",
            "always_eager annotations create_missing_queues create_missing_queue_exchange_type default_delivery_mode "
            "default_exchange default_exchange_type default_routing_key eager_propagates store_eager_result protocol "
            "publish_retry publish_retry_policy queues remote_tracebacks repr_maxlevels allow_error_cb_on_chord_header",
        ),
    ),
    **_each(_idle(_RABBITMQ), _with_prefix("task", "create_missing_queue_type default_queue_type queue_max_priority")),
    **_each(
        _CELERYS,
        _with_prefix(
            "worker",
            "agent direct enable_remote_control hijack_root_logger log_color log_datefmt log_format redirect_stdouts "
            "redirect_stdouts_level state_db task_log_datefmt task_log_format timer timer_precision",
        ),
    ),
    **_each(
        _works(),
        _with_prefix(
            "worker",
            "concurrency pool send_task_events disable_rate_limits deduplicate_successful_tasks soft_shutdown_timeout "
            "enable_soft_shutdown_on_idle",
        ),
    ),
    "worker_consumer": _works("Celeriac's, or a subclass of it", unless=Refusal(_CONSUMER, values=_never)),
    **_each(_idle(_PREFORK), _with_prefix("worker", "lost_wait pool_putlocks pool_start_method proc_alive_timeout")),
    "worker_autoscaler": _idle("see `--autoscale`"),
    **_each(_idle(_NOTHING_HELD), _with_prefix("worker", "prefetch_multiplier enable_prefetch_count_reduction")),
    "worker_disable_prefetch": _works(_NOTHING_HELD),
    "worker_eta_task_limit": _idle("tasks with a `countdown` or an `eta` wait on the broker"),
    "worker_detect_quorum_queues": _idle(_RABBITMQ),
    "worker_max_tasks_per_child": _RECYCLED,
    "worker_max_memory_per_child": _RECYCLED,
    "worker_pool_restarts": _refused(
        "the asyncio pool cannot be restarted: end a shard of `celeriac worker`, and it is replaced"
    ),
    "worker_cancel_long_running_tasks_on_connection_loss": _refused(
        "a task that the asyncio pool runs keeps its message when the connection is lost, and runs nowhere else"
    ),
    **_each(_CELERYS, _with_prefix("security", "certificate cert_store key key_password digest")),
    **_each(_BACKEND, _with_prefix("cache", "backend backend_options")),
    **_each(
        _BACKEND,
        _with_prefix(
            "cassandra",
            "entry_ttl keyspace port read_consistency servers bundle_path table write_consistency auth_provider "
            "auth_kwargs options",
        ),
    ),
    **_each(_BACKEND, _with_prefix("s3", "access_key_id secret_access_key bucket base_path endpoint_url region")),
    **_each(
        _BACKEND,
        _with_prefix(
            "azureblockblob",
            "container_name retry_initial_backoff_sec retry_increment_base retry_max_attempts base_path "
            "connection_timeout read_timeout",
        ),
    ),
    **_each(_BACKEND, _with_prefix("gcs", "bucket project base_path ttl")),
    **_each(_BACKEND, "couchbase_backend_settings arangodb_backend_settings mongodb_backend_settings"),
    **_each(
        _BACKEND,
        _with_prefix(
            "cosmosdbsql", "database_name collection_name consistency_level max_retry_attempts max_retry_wait_time"
        ),
    ),
    **_each(_BACKEND, _with_prefix("elasticsearch", "retry_on_timeout max_retries timeout save_meta_as_text")),
    **_each(
        _BACKEND,
        _with_prefix(
            "database",
            "url engine_options engine_callback short_lived_sessions table_schemas table_names create_tables_at_setup",
        ),
    ),
}

#: The options in `broker_transport_options`: kombu's for Redis, and ours.
TRANSPORT: dict[str, Option] = {
    "lease": _works("Celeriac's own: seconds after which the tasks of a worker that has vanished run elsewhere"),
    "queue_order_strategy": _works("`round_robin`, `priority`, `sorted`, or a class as kombu takes it"),
    **_each(_works(), "sep priority_steps"),
    "ack_emulation": _refused(
        "messages are always acknowledged; for a task that may be lost with its worker set acks_late=False",
        Where.EVERY,
        _is_false,
    ),
    "global_keyprefix": _refused(f"it is not supported: {_OWN_DATABASE}", Where.EVERY),
    **_each(
        _idle(_LEASES),
        "visibility_timeout unacked_key unacked_index_key unacked_mutex_key unacked_mutex_expire unacked_restore_limit "
        "unacked_restore_interval unacked_restore_throttle",
    ),
    **_each(_CELERYS, "fanout_prefix fanout_patterns body_encoding deadletter_queue reauth_check_interval"),
    "sentinel_fanout_compat": _idle("of Redis Sentinel, which is not supported"),
    **_each(
        _celerys("of the connections for publishing and remote control; those that take tasks have their own"),
        "socket_timeout socket_connect_timeout socket_keepalive socket_keepalive_options max_connections "
        "health_check_interval retry_on_timeout client_name",
    ),
}
