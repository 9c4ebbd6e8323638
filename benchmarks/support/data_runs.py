"""Runs what moves rows: a program that says what it spent, or a job in a worker of one process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery.exceptions import TimeoutError as CeleryTimeout
from pydantic import SecretStr

from benchmarks.support.environments import ROOT
from benchmarks.support.fleet import RunFailed
from benchmarks.support.procfs import cpu_seconds, forget_peak, is_alive, peak_mib, tree
from benchmarks.support.server import fresh_server
from celeriac import Celeriac, Settings
from celeriac.settings import as_environment, environment_with
from celeriac.worker import create_app

_DEADLINE_S = 1800.0


@dataclass(frozen=True)
class Spent:
    """What a run took. `peak_mib` is the highest resident memory of the process that did it."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


async def run_program(python: str, module: str, *arguments: str, **variables: str) -> Spent:
    """Run a module that prints its seconds, its CPU seconds and its peak memory in MiB.

    Raises:
        RunFailed: it ended with an error.
    """
    process = await asyncio.create_subprocess_exec(
        *(python, "-W", "ignore", "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment_with(variables),
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RunFailed(f"{module} ended with {process.returncode}")
    return Spent(*map(float, told.split()[-3:]))


async def run_job(folder: Path, variables: Mapping[str, str], task: str, **arguments: Any) -> Spent:
    """Run a job of the built-in application in a worker. Its memory is that of the process that runs jobs."""
    async with fresh_server() as server:
        settings = Settings(broker_url=SecretStr(server.url), data_dir=folder / "data")
        async with _worker({**as_environment(settings), **variables}, folder) as worker:
            app = create_app(settings)
            try:
                await asyncio.to_thread(_result, app, "celeriac.echo", {"value": 1}, worker)  # everything is loaded
                pids = tree(worker) - {worker}
                forget_peak(pids)
                before, began = cpu_seconds(pids), time.monotonic()
                await asyncio.to_thread(_result, app, task, arguments, worker)
                return Spent(time.monotonic() - began, cpu_seconds(pids) - before, peak_mib(pids))
            finally:
                app.close()  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)


def _result(app: Celeriac, task: str, arguments: dict[str, Any], worker: int) -> Any:
    """Run a task, and wait for its result as long as the worker lives.

    Raises:
        RunFailed: the worker ended, or the task failed.
    """
    sent: Any = app.send_task(task, kwargs=arguments)
    give_up = time.monotonic() + _DEADLINE_S
    while is_alive(worker) and time.monotonic() < give_up:
        try:
            return sent.get(timeout=1)
        except CeleryTimeout:
            continue
        except Exception as error:
            raise RunFailed(f"{task} failed: {error!r}") from error
    raise RunFailed(f"the worker ended before {task}, or that takes more than {_DEADLINE_S:g} s")


@asynccontextmanager
async def _worker(variables: Mapping[str, str], folder: Path) -> AsyncGenerator[int]:
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "celeriac", "worker", "--shards", "1", "--loglevel", "warning"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment_with(dict(variables)),
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()
