"""Celery and uvicorn, started in tenths of a second: real processes, forked from one that has imported everything."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.support.waiting import wait_until

_IMPORTS = [
    "aiosqlite",
    "asyncpg",
    "celeriac.application",
    "celeriac.builtin",
    "celeriac.cli",
    "celeriac.engine.aio.consumer",
    "celeriac.engine.aio.pool",
    "celeriac.engine.control",
    "celeriac.engine.pools",
    "celeriac.engine.start.command",
    "celeriac.engine.start.shard",
    "celeriac.engine.steps",
    "celeriac.families.email.ledger",
    "celeriac.http.router",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.bin.beat",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.loaders.app",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.ext.asyncio",
    "tests.support.contract_jobs",
    "uvicorn.lifespan.on",
    "uvicorn.main",
    "uvicorn.protocols.http.auto",
    "tests.support.frozen",  # the last one
]
_PR_SET_PDEATHSIG = 1
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTS)


class WarmProcess:
    """One process, with its output in a file.

    `program` is worker or beat (as `celeriac` starts them), api (uvicorn), module (as `python -m`) or python (a file).
    What it prints to stderr goes to the same file, unless `errors` names another.
    """

    def __init__(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        errors: Path | None = None,
    ) -> None:
        self._log = log
        log.touch()
        args = (program, [*arguments], str(cwd), dict(environment), str(log), str(errors or log))
        self._process: ForkServerProcess = _context.Process(target=_become, args=args)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait_for(self, pattern: str) -> None:
        """Return once a line of its output matches."""

        def look() -> bool:
            assert self._process.is_alive(), f"ended before it printed {pattern!r}:\n{self.output}"
            return re.search(pattern, self.output) is not None

        wait_until(look, f"{pattern!r} in:\n{self.output}")

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def poll(self) -> int | None:
        """Its exit code (that of a signal is negative), or None while it runs."""
        return self._process.exitcode

    def wait(self, within: float | None = None) -> int | None:
        """Its exit code, or None if it has not ended within so many seconds."""
        self._process.join(within)
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.pid, signum)

    def end(self) -> None:
        """Kill it: what it has not done by now, nobody waits for. A pool's processes do not outlive their worker."""
        self._process.kill()
        self._process.join()


def run_celeriac(
    *arguments: str, cwd: Path, environment: Mapping[str, str], within: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the command `celeriac ARGUMENTS` to its end, as `subprocess.run` would."""
    with tempfile.TemporaryDirectory() as directory:
        output, errors = Path(directory, "stdout"), Path(directory, "stderr")
        command = ["celeriac", *arguments]
        process = WarmProcess("module", command, cwd=cwd, environment=environment, log=output, errors=errors)
        try:
            code = process.wait(within)
            assert code is not None, f"{command} has not ended within {within:g} s:\n{errors.read_text()}"
        finally:
            process.end()
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


def _become(program: str, arguments: list[str], cwd: str, environment: dict[str, str], log: str, errors: str) -> None:
    """Runs in the new process."""
    if sys.platform == "linux":  # it does not outlive the tests, even if they are killed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for stream, file in ((sys.stdout, log), (sys.stderr, errors)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), stream.fileno())
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(line_buffering=True)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, cwd)
    try:
        _run(program, arguments)
    finally:
        atexit._run_exitfuncs()  # which a process of multiprocessing leaves out


def _run(program: str, arguments: list[str]) -> None:
    if program == "python":
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    elif program == "module":
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif program == "api":
        from uvicorn.main import main as uvicorn

        uvicorn(arguments)
    else:
        from celeriac.engine.start.command import main as celery

        address, *options = arguments
        quiet = ["--without-mingle", "--without-gossip"] if program == "worker" else []
        celery(["-A", address, program, "--loglevel=info", *quiet, *options])
