"""Celery and uvicorn, started in tenths of a second: real processes, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.support.waiting import wait_until

_IMPORTS = [
    "celeriac.http.router",
    "celery.bin.beat",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "uvicorn.main",
    "uvicorn.protocols.http.auto",
    "uvicorn.lifespan.on",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTS)


class WarmProcess:
    """One process, with its output in a file. `program` is worker, beat, api (uvicorn) or python."""

    def __init__(
        self, program: str, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        log.touch()
        args = (program, [*arguments], str(cwd), dict(environment), str(log))
        self._process: ForkServerProcess = _context.Process(target=_become, args=args)
        self._process.start()

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

    def wait(self, within: float) -> int | None:
        """Its exit code, or None if it has not ended within so many seconds."""
        self._process.join(within)
        return self._process.exitcode

    def end(self) -> None:
        """Kill it: what it has not done by now, nobody waits for. A pool's processes do not outlive their worker."""
        self._process.kill()
        self._process.join()


def _become(program: str, arguments: list[str], cwd: str, environment: dict[str, str], log: str) -> None:
    """Runs in the new process."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, cwd)
    if program == "python":
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    elif program == "api":
        from uvicorn.main import main as uvicorn

        uvicorn(arguments)
    else:
        from celeriac.engine.command import main as celery

        address, *options = arguments
        quiet = ["--without-mingle", "--without-gossip"] if program == "worker" else []
        celery(["-A", address, program, "--loglevel=info", *quiet, *options])
