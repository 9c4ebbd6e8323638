"""A worker process as a shard: one of several, under a parent that supervises them (`launch/worker/shards.py`).

It reports to the parent on a pipe that only the two of them have (`core/parent_protocol.py`).
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from celery.concurrency import get_implementation
from celery.signals import celeryd_init, worker_ready

from celeriac.core.parent_protocol import Message, Ready, Serving, encode
from celeriac.engine.isolation import processes as isolated_jobs
from celeriac.engine.prefork import is_prefork

#: The descriptor on which this process tells its parent, if it is a shard.
_pipe: int | None = None


def report(app: Any, descriptor: int) -> None:
    """Tell process and broker now, and that the worker is ready when it is."""
    global _pipe
    _pipe = descriptor
    tell(Serving(os.getpid(), _broker(app)))
    worker_ready.connect(_tell_ready, weak=False, dispatch_uid="celeriac.shard.ready")


def _tell_ready(**_: Any) -> None:
    tell(Ready())


def is_supervised() -> bool:
    """Whether this process is a shard, which its parent replaces when it ends."""
    return _pipe is not None


def tell(message: Message) -> None:
    """Tell the parent, if there is one."""
    with contextlib.suppress(OSError):  # it has gone
        if _pipe is not None:
            os.write(_pipe, encode(message))


def limit_pool(cores: int) -> None:
    """Have one process for each of `cores`, for isolated jobs and in a pool of processes whose size is not set.

    All shards together use the machine.
    """
    isolated_jobs.limit(cores)

    def limit(conf: Any, options: dict[str, Any], **_: Any) -> None:
        pool = get_implementation(options.get("pool_cls") or options.get("pool") or conf.worker_pool)
        if is_prefork(pool) and not options.get("concurrency"):
            conf.worker_concurrency = conf.worker_concurrency or cores

    celeryd_init.connect(limit, weak=False, dispatch_uid="celeriac.shard.limit_pool")


def _broker(app: Any) -> str:
    """The first of the application's brokers: the others are for when that one is away."""
    urls = app.conf.broker_read_url
    first = urls if isinstance(urls, str) else next(iter(urls or ("",)))
    return first.partition(";")[0]
