"""A process that runs a policy, and kills itself (SIGKILL) at its n-th act: a write, a statement, a commit.

    python -m tests.support.cleanup_worker URL ARCHIVES JOB POLICY_AS_JSON DIE_AT

With DIE_AT 0 it lives, and prints how many such points there were.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from celeriac.families.cleanup.policy import Policy
from tests.support.cleanup_shop import Shop

_ROOT = Path(__file__).parents[2]


class Points:
    """Counts what the process does, and ends it at one point."""

    def __init__(self, die_at: int) -> None:
        self._die_at = die_at
        self._lock = threading.Lock()
        self.count = 0

    def reach(self) -> None:
        with self._lock:
            self.count += 1
            if self.count == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.reach()
            result = function(*args, **kwargs)
            self.reach()
            return result

        return call


async def run_apart(shop: Shop, chosen: Policy, job: str, die_at: int) -> tuple[int, str]:
    """Run a policy in a process of its own, which kills itself at a point, or lives with 0."""
    command = [
        "-m",
        "tests.support.cleanup_worker",
        shop.url,
        str(shop.archives),
        job,
        chosen.model_dump_json(exclude_unset=True),
        str(die_at),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=_ROOT, env=dict(os.environ), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def main(url: str, archives: str, job: str, policy: str, die_at: str) -> None:
    points = Points(int(die_at))
    for name in ("pwrite", "fsync", "ftruncate", "replace", "unlink"):
        setattr(os, name, points.around(getattr(os, name)))
    event.listen(Engine, "before_cursor_execute", lambda *_: points.reach())
    event.listen(Engine, "after_cursor_execute", lambda *_: points.reach())
    event.listen(Engine, "commit", lambda *_: points.reach())
    chosen = Policy.model_validate_json(policy)
    shop = Shop(url, Path(archives), tables={f"{chosen.connection}.{chosen.table}"})
    result = asyncio.run(_run(shop, chosen, job))
    print(result.state, points.count, flush=True)


async def _run(shop: Shop, policy: Policy, job: str) -> Any:
    try:
        return await shop.run(policy, job)
    finally:
        await shop.database.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
