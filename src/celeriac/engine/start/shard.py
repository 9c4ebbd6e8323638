"""Makes a worker process a shard: one of several, which a parent supervises (`launch/worker/shards.py`).

A shard reports to its parent on a private pipe (`core/parent_protocol.py`).
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

#: The descriptor on which this process reports to its parent, if it is a shard.
_pipe: int | None = None


def report(app: Any, descriptor: int) -> None:
    """Report process and broker now, and report readiness as soon as the worker is ready."""
    global _pipe
    _pipe = descriptor
    tell(Serving(os.getpid(), _broker(app)))
    worker_ready.connect(_tell_ready, weak=False, dispatch_uid="celeriac.shard.ready")


def _tell_ready(**_: Any) -> None:
    tell(Ready())


def is_supervised() -> bool:
    """Return whether this process is a shard, which its parent replaces when it ends."""
    return _pipe is not None


def tell(message: Message) -> None:
    """Tell the parent, if there is one."""
    with contextlib.suppress(OSError):  # the parent has ended
        if _pipe is not None:
            os.write(_pipe, encode(message))


def limit_pool(cores: int) -> None:
    """Use one process for each of `cores`: for isolated jobs, and in a pool of processes whose size is not set.

    All shards together then use the whole machine.
    """
    isolated_jobs.limit(cores)

    def limit(conf: Any, options: dict[str, Any], **_: Any) -> None:
        pool = get_implementation(options.get("pool_cls") or options.get("pool") or conf.worker_pool)
        if is_prefork(pool) and not options.get("concurrency"):
            conf.worker_concurrency = conf.worker_concurrency or cores

    celeryd_init.connect(limit, weak=False, dispatch_uid="celeriac.shard.limit_pool")


def _broker(app: Any) -> str:
    """Return the first of the application's brokers. The others replace it when it is absent."""
    urls = app.conf.broker_read_url
    first = urls if isinstance(urls, str) else next(iter(urls or ("",)))
    return first.partition(";")[0]
