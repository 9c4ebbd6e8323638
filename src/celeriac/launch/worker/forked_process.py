"""Forked shards, and the interface of the code that forks them.

Only Linux supports this: other systems load libraries into each process that a fork breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


def is_possible() -> bool:
    """Return whether this system can fork processes safely, and can show whether an application allows it."""
    return sys.platform == "linux" and Path("/proc/self/fd").exists()


class ForkedProcess:
    """A forked worker. The code that waits for it calls `has_ended`."""

    def __init__(self, pid: int, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = pid
        self._code: asyncio.Future[int] = loop.create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def signal(self, signum: int) -> None:
        if not self._code.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def has_ended(self, code: int) -> None:
        """Set the exit code. Call it once."""
        self._code.set_result(code)


class Forker(Protocol):
    """A maker of forked workers of one application.

    Attributes:
        is_unfit: whether the application cannot be forked.
    """

    is_unfit: bool

    async def fork(self, arguments: Sequence[str], report_to: int, output: int | None) -> ForkedProcess:
        """Fork a worker.

        Args:
            arguments: the arguments of its command line.
            report_to: the descriptor on which it reports.
            output: the descriptor of its output; None: the forking process's own.

        Raises:
            OSError: forking fails now.
        """
        ...
