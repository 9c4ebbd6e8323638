"""A process that runs a policy, and kills itself (SIGKILL) at its n-th act: a write, a statement, a commit."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from celeriac.families.cleanup.policy import Policy
from tests.support.cleanup_shop import Shop

#: The test's own process is forked, as it has all imported: that takes a new one a second.
_forking = multiprocessing.get_context("fork")


class Points:
    """Counts what the process does, or one kind of that, and ends it at one point."""

    def __init__(self, die_at: int, only: str = "") -> None:
        self._die_at = die_at
        self._only = only
        self._lock = threading.Lock()
        self.count = 0

    def reach(self, what: str) -> None:
        if self._only not in ("", what):
            return
        with self._lock:
            self.count += 1
            if self.count == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.reach(function.__name__)
            result = function(*args, **kwargs)
            self.reach(function.__name__)
            return result

        return call


async def run_apart(shop: Shop, chosen: Policy, job: str, die_at: int, *, only: str = "") -> int:
    """Run a policy in a process of its own, which kills itself at a point, or lives with 0. Return its exit code.

    With `only`, such as `pwrite`, points are before and behind calls of that function alone.
    """
    given = (shop.url, str(shop.archives), job, chosen.model_dump_json(exclude_unset=True), die_at, only)
    process = _forking.Process(target=main, args=given)
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode is not None
    return process.exitcode


def main(url: str, archives: str, job: str, policy: str, die_at: int, only: str) -> None:
    points = Points(die_at, only)
    for name in ("pwrite", "fsync", "ftruncate", "replace", "unlink"):
        setattr(os, name, points.around(getattr(os, name)))
    event.listen(Engine, "before_cursor_execute", lambda *_: points.reach("statement"))
    event.listen(Engine, "after_cursor_execute", lambda *_: points.reach("statement"))
    event.listen(Engine, "commit", lambda *_: points.reach("statement"))
    chosen = Policy.model_validate_json(policy)
    shop = Shop(url, Path(archives), tables={f"{chosen.connection}.{chosen.table}"})
    asyncio.run(_run(shop, chosen, job))


async def _run(shop: Shop, policy: Policy, job: str) -> Any:
    try:
        return await shop.run(policy, job)
    finally:
        await shop.database.dispose()
