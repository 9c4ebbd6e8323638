"""Starts the processes of a run: producers, and a system's workers."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers.workload import RESULT
from benchmarks.support.environments import ROOT, Environments
from benchmarks.support.procfs import is_alive, tree
from benchmarks.support.records import Records
from benchmarks.support.system import System
from celeriac.launch.supervision.child_process import ChildProcess, spawn

#: How many of a log's last characters a failure shows.
_LOG = 4000

#: How long a producer may take (s). A million delayed jobs take some minutes.
_PATIENCE = 1200.0

#: Time between two looks at the records of a run (s). No figure depends on it.
_LOOK = 0.02


class RunFailed(Exception):
    """A producer failed, or workers did not do their jobs in time."""


class Workers:
    """A system's started workers."""

    def __init__(self, system: System, processes: list[ChildProcess], log: Path, records: Records) -> None:
        self._system = system
        self._processes = processes
        self._log = log
        self._records = records
        self.began = time.monotonic()

    def pids(self) -> set[int]:
        """All processes, including the workers' children."""
        return set[int]().union(*(tree(process.pid) for process in self._processes))

    def roots(self) -> set[int]:
        """The processes that were started here, without their children."""
        return {process.pid for process in self._processes}

    async def wait_for(self, count: int, *, within: float) -> None:
        """Wait until `count` jobs have begun.

        Raises:
            RunFailed: they have not begun `within` so many seconds, or a worker has ended.
        """
        await self.wait_until(lambda: self._records.count() >= count, f"{count} jobs", within=within)

    async def wait_until(self, look: Callable[[], bool], what: str, *, within: float) -> None:
        """Wait until `look` returns true. Raises as `wait_for` does."""
        if not await self.sees(look, within=within):
            raise self._failed(f"no {what} within {within:g} s")

    async def sees(self, look: Callable[[], bool], *, within: float) -> bool:
        """Wait until `look` returns true. False if it does not `within` so many seconds.

        Raises:
            RunFailed: a worker has ended.
        """
        give_up = time.monotonic() + within
        while not look():
            if time.monotonic() > give_up:
                return False
            if not all(is_alive(process.pid) for process in self._processes):
                raise self._failed("a worker has ended")
            await asyncio.sleep(_LOOK)
        return True

    def _failed(self, why: str) -> RunFailed:
        return RunFailed(f"{self._system.name}: {why}, after {self._records.count()} records\n{self.log()}")

    def log(self) -> str:
        """The end of their output."""
        return self._log.read_text(errors="replace")[-_LOG:]

    async def kill(self) -> None:
        """Kill every process, with SIGKILL."""
        for process in self._processes:
            process.kill_group()
        for process in self._processes:
            await process.wait()


class Fleet:
    """Starts the processes of runs."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments

    @asynccontextmanager
    async def workers(
        self, system: System, load: str, url: str, records: Records, *, processes: int
    ) -> AsyncGenerator[Workers]:
        """Start a system's workers, and kill them after the `with` block.

        Args:
            load: the kind of jobs to come (see `System.workers`).
            processes: how many processes run jobs.
        """
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="celeriac-bench-")))
            log = directory / "log"
            output = stack.enter_context(log.open("wb"))
            python = self._environments.python(system.environment)
            environment = _environment(system, url, records)
            started: list[ChildProcess] = []
            workers = Workers(system, started, log, records)
            stack.push_async_callback(workers.kill)
            for argv in system.workers(load, processes):
                started.append(await spawn((python, *argv), environment=environment, output=output.fileno()))
            yield workers

    async def produce(self, system: System, action: str, task: str, count: int, url: str, *options: str) -> Any:
        """Run a producer (`benchmarks/peers/__main__.py`) to its end, and return what it measured.

        Raises:
            RunFailed: the producer failed. The message is what it printed.
        """
        python = self._environments.python(system.environment)
        argv = ("-m", "benchmarks.peers", system.module, action, task, str(count), *options)
        with TemporaryDirectory(prefix="celeriac-bench-") as directory, (Path(directory) / "out").open("w+b") as output:
            process = await spawn((python, *argv), environment=_environment(system, url), output=output.fileno())
            try:
                async with asyncio.timeout(_PATIENCE):
                    code = await process.wait()
            except TimeoutError:
                code = f"no result within {_PATIENCE:g} s"
            finally:
                process.kill_group()
                await process.wait()
            printed = Path(output.name).read_text(errors="replace")
        results = [line for line in printed.splitlines() if line.startswith(RESULT)]
        if code or not results:
            raise RunFailed(f"{system.name}: {action} ended with {code}\n{printed[-_LOG:]}")
        return json.loads(results[-1].removeprefix(RESULT))


def _environment(system: System, url: str, records: Records | None = None) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    given = {"BENCH_URL": url, "BENCH_RECORDS": str(records.path) if records else "", "PYTHONPATH": path}
    return {**given, **system.variables}
