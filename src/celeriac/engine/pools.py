"""Chooses the pool of a worker, for Celery's setting `worker_pool`.

Celery cannot tell `--pool=prefork` from its default, and lets the setting win over it. So the setting names `Default`,
which is prefork if the command line says so, and the asyncio pool if it names no pool.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from celeriac.engine.aio.pool import Pool


def __getattr__(name: str) -> Any:
    if name != "Default":
        raise AttributeError(name)
    if not _prefork_is_asked_for():
        return Pool
    from celery.concurrency.prefork import TaskPool  # for those who ask for it only

    return TaskPool


def _prefork_is_asked_for() -> bool:
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "worker":
        return False
    return context.get_parameter_source("pool") not in (None, ParameterSource.DEFAULT)
