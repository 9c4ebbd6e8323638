"""Keeps jobs from lowering the recursion limit of their worker process.

It holds for all threads. Wherever another thread is then, its next call fails, also in the middle of a change that the
worker or a library must finish. There is no way back from that, so the limit stays what it was at the worker's start,
or is higher.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any, cast

log = logging.getLogger("celeriac.engine")


def install() -> None:
    """Replace `sys.setrecursionlimit` by a function that does not lower the limit. Safe to call again."""
    set_limit, least = sys.setrecursionlimit, sys.getrecursionlimit()
    if hasattr(set_limit, "celeriac_least"):
        return

    @functools.wraps(set_limit)
    def set_at_least(limit: int, /) -> None:
        if limit < least:
            log.warning("the recursion limit of this worker stays %d: a job tried to set it to %d", least, limit)
        set_limit(max(limit, least))

    cast(Any, set_at_least).celeriac_least = least
    sys.setrecursionlimit = set_at_least
