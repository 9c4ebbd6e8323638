"""Recognises Celery's pool of processes without importing it, since most workers use another pool."""

from __future__ import annotations

import sys
from typing import Any


def is_prefork(pool_class: Any) -> bool:
    """Return whether the class is Celery's pool of processes, or inherits from it."""
    prefork = sys.modules.get("celery.concurrency.prefork")  # if it is not imported, no such class exists
    return prefork is not None and issubclass(pool_class, prefork.TaskPool)
