"""Lists every private name of Celery, kombu, billiard and `logging` that Celeriac uses.

A test compares the list with the engine's source and with the installed packages. So an upgrade that moves a name fails
there. `celery` and `kombu` are pinned to one minor version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from celery import _state

#: The stack of running tasks, for `current_task`. It goes by thread, unless `aio/stacks.py` changes that.
task_stack: Any = _state._task_stack  # pyright: ignore[reportPrivateUsage]


def can_go_by_context(stack: Any) -> bool:
    """Return whether Celery's stack can go by something else than the thread."""
    return hasattr(stack, "_local")


def entries_of(stack: Any) -> dict[Any, dict[str, list[Any]]]:
    """Return the entries of Celery's stack, by thread or context."""
    return stack._local.__storage__


class Private(NamedTuple):
    """One private name, its owner (`module` or `module:Class`), and why Celeriac uses it."""

    owner: str
    name: str
    why: str


def _each(owner: str, why: str, *names: str) -> list[Private]:
    return [Private(owner, name, why) for name in names]


_CHANNEL = "kombu.transport.redis:Channel"
_REQUEST = "celery.worker.request:Request"

USED: tuple[Private, ...] = (
    *_each("celery._state", "which task is the current one goes by coroutine", "_task_stack"),
    *_each("celery._state", "the applications that an API has imported are checked", "_get_active_apps"),
    *_each("celery.app.autoretry", "the task's own function, below what `autoretry_for` wraps", "_orig_run"),
    *_each("celery.app.trace:TraceInfo", "logs what a task has raised", "_log_error"),
    *_each("celery.app.base:Celery", "the result backend is made once for all threads", "_backend_cache"),
    *_each("celery.app.base:Celery", "records are kept beside any result backend", "_get_backend"),
    *_each("celery.app.base:Celery", "tasks that wait for the application to be finalized", "_pending"),
    *_each("celery.backends.asynchronous:AsyncBackendMixin", "stop waiting for a result", "_remove_pending_result"),
    *_each("celery.app.base:Celery", "tests move an application to another broker", "_pool"),
    *_each("celery.app.amqp:AMQP", "the same", "_producer_pool"),
    *_each("celery.backends.base:Backend", "outcomes in Celery's format", "_get_result_meta"),
    *_each("celery.backends.base:BaseKeyValueStoreBackend", "stores outcomes our way", "_store_result"),
    *_each("celery.backends.base:BaseKeyValueStoreBackend", "how long chords are kept", "_chord_result_expires"),
    *_each("celery.backends.redis:RedisBackend", "whether chords keep the order of their parts", "_chord_zset"),
    *_each("celery.backends.redis:RedisBackend", "reads the URL of the result store", "_params_from_url"),
    *_each("celery.concurrency.base:BasePool", "what `inspect stats` shows of the pool", "_get_info"),
    *_each(_REQUEST, "the request as the result backend takes it", "_context"),
    *_each(_REQUEST, "a revocation that came before the task began", "_terminate_on_ack"),
    *_each(
        _REQUEST,
        "the short way sets what Celery's `__init__` sets",
        "_Request__payload",
        "_app",
        "_apply_result",
        "_args",
        "_argsrepr",
        "_body",
        "_connection_errors",
        "_content_encoding",
        "_content_type",
        "_decoded",
        "_delivery_info",
        "_eta",
        "_eventer",
        "_expires",
        "_hostname",
        "_ignore_result",
        "_kwargs",
        "_kwargsrepr",
        "_message",
        "_on_ack",
        "_on_reject",
        "_parent_id",
        "_request_dict",
        "_root_id",
        "_task",
        "_type",
        "_utc",
    ),
    *_each(
        "celery.worker.consumer.consumer:Consumer",
        "tasks over their rate limit wait on the broker",
        "_limit_task",
        "_limit_move_to_pool",
    ),
    *_each("logging:Formatter", "whether the worker's log has Celery's default format", "_fmt"),
    *_each("celery.utils.threads:_LocalStack", "the entries of the running job, read directly", "_local"),
    *_each("kombu.connection:Connection", "chooses our transport for URLs of Redis", "_init_params"),
    *_each("kombu.message:Message", "the short way sets what kombu's `__init__` sets", "_decoded_cache", "_state"),
    *_each("kombu.message:Message", "a body that cannot be decoded makes a dead letter", "_decode"),
    *_each("kombu.compression", "which methods of compression there are", "_aliases"),
    *_each("kombu.messaging:Consumer", "the intake takes messages instead", "_basic_consume"),
    *_each("kombu.messaging:Consumer", "which queues are taken from", "_active_tags", "_add_tag", "_queues"),
    *_each("kombu.transport.virtual.base:QoS", "what a channel has delivered", "_delivered"),
    *_each("kombu.transport.virtual.base:Transport", "hands a message or a broadcast to its consumer", "_deliver"),
    *_each("kombu.transport.virtual.base:Channel", "the list that a message goes to", "_get_message_priority"),
    *_each(_CHANNEL, "takes by script where kombu pops", "_brpop_read", "_brpop_start", "_get"),
    *_each(_CHANNEL, "a reply is under way", "_in_poll", "_closing"),
    *_each(_CHANNEL, "and for how long", "_brpop_sent_at"),
    *_each(_CHANNEL, "publishes delayed messages, and purges them", "_put", "_purge"),
    *_each(_CHANNEL, "queues in turn, and their list of each priority", "_queue_cycle", "_q_for_pri"),
    *_each(_CHANNEL, "commands beside those that wait for messages", "_create_client", "_get_pool"),
)
