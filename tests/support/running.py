"""A program under test, run as a real process whose output can be waited for."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.waiting import DEADLINE

ROOT = Path(__file__).parents[2]
#: Seconds that a program has to end by itself, once nothing more is asked of it. Flower sometimes misses a signal.
_LAST_WORDS = 10.0


class Running:
    """The process and every line it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def printed(self, pattern: str, *, after: int = 0, within: float = DEADLINE) -> re.Match[str]:
        """The first match of `pattern` in the lines from number `after` on, printed already or in time."""
        async with asyncio.timeout(within):
            while True:
                for line in self.lines[after:]:
                    if found := re.search(pattern, line):
                        return found
                after = len(self.lines)
                await self._read_line(pattern)

    async def ended(self, *, within: float = DEADLINE) -> int:
        """Read the rest of the output and return the exit code."""
        async with asyncio.timeout(within):
            while await self._next_line():
                pass
            return await self.process.wait()

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def number(self, pattern: str) -> int:
        """The index of the last line that matches."""
        return max(i for i, line in enumerate(self.lines) if re.search(pattern, line))

    async def _read_line(self, awaited: str) -> None:
        if not await self._next_line():
            raise AssertionError("\n".join([f"ended before it printed {awaited!r}:", *self.lines]))

    async def _next_line(self) -> bool:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if line:
            self.lines.append(line.decode().rstrip("\n"))
        return bool(line)


@asynccontextmanager
async def running(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    python: str = sys.executable,
) -> AsyncGenerator[Running]:
    """Run `python ARGUMENTS` for the length of a `with` block; stderr is read as part of the output."""
    process = await asyncio.create_subprocess_exec(
        python,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        cwd=cwd,
    )
    program = Running(process)
    try:
        yield program
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await program.ended(within=_LAST_WORDS)
            except TimeoutError:
                process.kill()
                await process.wait()
