"""One process for isolated jobs, seen from the worker that started it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress

from celeriac.core.errors import ConfigurationError, JobCrashed
from celeriac.core.records import Progress
from celeriac.engine.isolation import wire

Report = Callable[[str, Progress], None]

#: How long to wait for a process to end after it was killed, or closed its pipes.
_ENDING_S = 2.0


class JobProcess:
    """Runs one job at a time. It leads its own process group, and ends with the worker, even one that is killed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        assert process.stdin is not None, "it has a pipe"
        assert process.stdout is not None, "it has a pipe"
        self._input, self._output = process.stdin, process.stdout

    @classmethod
    async def start(cls, app: str) -> JobProcess:
        """Start a process, and wait until it has imported the application at the address `app`.

        Raises:
            ConfigurationError: the process cannot import the application.
            JobCrashed: the process ended before that.
        """
        command = (sys.executable, "-u", "-m", "celeriac.engine.isolation", str(os.getpid()))
        started = cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True))
        setup = {"path": [*map(str, sys.path)], "app": app, "log_level": logging.getLogger().getEffectiveLevel()}
        try:
            await started._tell(setup)
            await started._hear()
        except BaseException:
            await started.kill()
            raise
        return started

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended, or to read nothing more."""
        return self._process.returncode is not None or self._input.is_closing()

    async def run(self, request: wire.Message, report: Report) -> wire.Message:
        """Run a job, and return the message about its end. Its progress goes to `report`.

        Raises:
            ConfigurationError: the process does not find the job.
            JobCrashed: the process ended before the job.
        """
        await self._tell(request)
        while (message := await self._hear())["kind"] == "progress":
            report(message["job_id"], Progress(message["done"], message["total"], message["message"]))
        return message

    async def kill(self) -> None:
        """Kill the process, and those that its job started, unless they left its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutError):  # it may hang in the kernel, on a disk that does not answer
            async with asyncio.timeout(_ENDING_S):
                await self._process.wait()

    async def _tell(self, message: wire.Message) -> None:
        if self._input.is_closing():  # uvloop would raise RuntimeError
            raise await self._crash()
        try:
            self._input.write(wire.frame(message))
            await self._input.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise await self._crash() from None

    async def _hear(self) -> wire.Message:
        try:
            message = await wire.receive(self._output)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            raise await self._crash() from None
        if message["kind"] == "unfit":
            raise ConfigurationError(message["message"])
        return message

    async def _crash(self) -> JobCrashed:
        try:
            async with asyncio.timeout(_ENDING_S):
                code = await self._process.wait()
        except TimeoutError:
            return JobCrashed("its process closed the connection to its worker")
        if code >= 0:
            return JobCrashed(f"its process exited by itself, with exit code {code}")
        return JobCrashed(f"its process was killed by signal {-code} ({signal.strsignal(-code)})")
