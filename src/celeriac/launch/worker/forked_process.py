"""Shards that are forked, by whatever process, and what forks them.

On Linux only: elsewhere, what systems load into each process is not made for a fork.
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
    """Whether this system lets processes be forked safely, and tell whether they can be."""
    return sys.platform == "linux" and Path("/proc/self/fd").exists()


class ForkedProcess:
    """A forked worker. Whoever waits for it says when it has ended."""

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
    """Forks workers of one application.

    Attributes:
        is_unfit: the application cannot be forked.
    """

    is_unfit: bool

    async def fork(self, arguments: Sequence[str], report_to: int, output: int | None) -> ForkedProcess:
        """Fork a worker.

        Args:
            arguments: of its command line.
            report_to: the descriptor of its report.
            output: that of its output; None for the forking process's own.

        Raises:
            OSError: it cannot be forked now.
        """
        ...
