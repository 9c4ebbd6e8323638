"""Child processes in groups of their own, which end when their parent ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from celeriac.settings import environment_with

_SHIM = Path(__file__).with_name("exec_shim.py")
_LINUX = sys.platform == "linux"


class Running(Protocol):
    """A started process, whether this process or the fork server is its parent."""

    @property
    def pid(self) -> int:
        """It leads a process group of that number."""
        ...

    async def wait(self) -> int:
        """Wait for the end; the exit code, or the negative number of the signal that killed it."""
        ...

    def signal(self, signum: int) -> None:
        """Send a signal to the process itself; nothing happens if it has ended."""
        ...

    def kill_group(self) -> None:
        """Kill the process and what it has started and left in its process group."""
        ...


class ChildProcess:
    """A process that this process has started. Only this object may wait for it."""

    def __init__(self, process: asyncio.subprocess.Process, watch_fd: int | None) -> None:
        self._process = process
        self._watch_fd = watch_fd

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end; the exit code, or the negative number of the signal that killed it."""
        code = await self._process.wait()
        self._dismiss_watcher()
        return code

    def signal(self, signum: int) -> None:
        """Send a signal to the process itself; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)

    async def stop(self, grace: float) -> int:
        """Ask the process to end (SIGTERM), kill its group after `grace` seconds, and return the exit code."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self.kill_group()
            return await self.wait()

    def kill_group(self) -> None:
        """Kill the process and what it has started and left in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _dismiss_watcher(self) -> None:
        if self._watch_fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._watch_fd, b".")
            os.close(self._watch_fd)
            self._watch_fd = None


async def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    output: int | None = None,
    inherit: Sequence[int] = (),
    death_signal: signal.Signals = signal.SIGKILL,
    watcher: bool = not _LINUX,
    umask: int = -1,
) -> ChildProcess:
    """Start a program in its own process group.

    Args:
        argv: program and arguments; visible to every user of the machine, so no secrets.
        environment: variables to set on top of this process's own.
        stdin: what the program can read, at most one pipe buffer (64 KiB), then end of file.
        output: file descriptor for stdout and stderr; None inherits them.
        inherit: file descriptors the program keeps open.
        death_signal: what the program gets when this process vanishes.
        umask: what its new files are not allowed; -1 for this process's own.
        watcher: use a watcher process for that instead of `PR_SET_PDEATHSIG`.
    """
    with contextlib.ExitStack() as opened:
        watched, watch = _pipe(opened) if watcher else (-1, None)
        passed = [*inherit, watched] if watcher else list(inherit)
        shim = (sys.executable, "-I", "-S", str(_SHIM), str(os.getpid()), str(int(death_signal)), str(watched))
        try:
            process = await asyncio.create_subprocess_exec(
                *shim,
                *argv,
                stdin=_filled_pipe(opened, stdin),
                stdout=output,
                stderr=output,
                env=environment_with(environment or {}),
                pass_fds=passed,
                process_group=0,
                umask=umask,
            )
        except BaseException:
            if watch is not None:
                os.close(watch)
            raise
    return ChildProcess(process, watch)


def _pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    """Open a pipe whose read end is closed with `opened`."""
    read_end, write_end = os.pipe()
    opened.callback(os.close, read_end)
    return read_end, write_end


def _filled_pipe(opened: contextlib.ExitStack, content: bytes) -> int:
    read_end, write_end = _pipe(opened)
    try:
        os.set_blocking(write_end, False)  # too long a content is an error, not a deadlock
        if os.write(write_end, content) != len(content):
            raise ValueError(f"{len(content)} bytes do not fit into the buffer of a pipe")
    finally:
        os.close(write_end)
    return read_end
