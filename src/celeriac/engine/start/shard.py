"""A worker process as a shard: one of several, under a parent that supervises them (`launch/worker/shards.py`).

It tells the parent, as lines on a pipe that only the two of them have:

    PID redis://…   its process, and the broker's URL, password included: the parent keeps this worker's lease there
    ready           it takes jobs
    retiring WHY    it takes no more, ends when what it runs has ended, and wants to be replaced (`recycling.py`)
    failed JSON     it cannot start: exit code, message, and traceback or nothing (`loading.leave`)

The parent cannot know the URL by itself: it does not import the application, whose settings win over ours.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, TextIO

from celery.concurrency import get_implementation
from celery.concurrency.prefork import TaskPool as Prefork
from celery.signals import celeryd_init, worker_ready

from celeriac.engine.isolation import processes as isolated_jobs

#: Where this process tells its parent, if it is a shard.
_pipe: TextIO | None = None


def report(app: Any, descriptor: int) -> None:
    """Tell process and broker now, and that the worker is ready when it is."""
    global _pipe
    _pipe = os.fdopen(descriptor, "w", buffering=1)
    tell(f"{os.getpid()} {_broker(app)}")
    worker_ready.connect(_tell_ready, weak=False, dispatch_uid="celeriac.shard.ready")


def _tell_ready(**_: Any) -> None:
    tell("ready")


def is_supervised() -> bool:
    """Whether this process is a shard, which its parent replaces when it ends."""
    return _pipe is not None


def tell(line: str) -> None:
    """Tell the parent."""
    with contextlib.suppress(OSError, ValueError):  # it has gone
        if _pipe is not None:
            _pipe.write(f"{line}\n")


def limit_pool(cores: int) -> None:
    """Have one process for each of `cores`, for isolated jobs and in a pool of processes whose size is not set.

    All shards together use the machine.
    """
    isolated_jobs.limit(cores)

    def limit(conf: Any, options: dict[str, Any], **_: Any) -> None:
        pool = get_implementation(options.get("pool_cls") or options.get("pool") or conf.worker_pool)
        if pool is Prefork and not options.get("concurrency"):
            conf.worker_concurrency = conf.worker_concurrency or cores

    celeryd_init.connect(limit, weak=False, dispatch_uid="celeriac.shard.limit_pool")


def _broker(app: Any) -> str:
    """The first of the application's brokers: the others are for when that one is away."""
    urls = app.conf.broker_read_url
    first = urls if isinstance(urls, str) else next(iter(urls or ("",)))
    return first.partition(";")[0]
