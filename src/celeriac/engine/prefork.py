"""Tells Celery's pool of processes apart, without importing it: most workers have another one."""

from __future__ import annotations

import sys
from typing import Any


def is_prefork(pool_class: Any) -> bool:
    """Whether the class is that of Celery's pool of processes, or inherits from it."""
    prefork = sys.modules.get("celery.concurrency.prefork")  # where it is not imported, there is no such class
    return prefork is not None and issubclass(pool_class, prefork.TaskPool)
