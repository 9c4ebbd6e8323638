"""Starts what serves files in a run: the floor, Celeriac's API, or its worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from benchmarks.support.environments import ROOT
from benchmarks.support.fleet import RunFailed
from benchmarks.support.procfs import is_alive, tree
from benchmarks.support.server import fresh_server
from benchmarks.support.transfer import Client
from celeriac import Settings
from celeriac.launch.resources.ports import free_port
from celeriac.launch.supervision.child_process import ChildProcess, spawn
from celeriac.storage.storage import Storage

#: A file system in memory, so that no disk is measured, and how many times the size of a file it must have free.
_MEMORY = Path("/dev/shm")
_TIMES = 6
#: Seconds: until a server must be ready, and between two looks.
_DEADLINE = 60.0
_LOOK = 0.05


@contextmanager
def folder_for(size: int) -> Generator[Path]:
    """A folder for files of that size, in memory if they fit there. It is deleted after the `with` block."""
    fits = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _TIMES * size
    with TemporaryDirectory(prefix="celeriac-bench-", dir=_MEMORY if fits else None) as name:
        yield Path(name)


@dataclass
class Place:
    """A folder for files (temporary ones too), a port, and the processes that are measured."""

    folder: Path
    broker_url: str = "redis://127.0.0.1:1"  # nobody's
    port: int = field(default_factory=free_port)
    processes: list[ChildProcess] = field(default_factory=list[ChildProcess])

    @property
    def client(self) -> Client:
        """Talks to the server."""
        return Client(self.port)

    @cached_property
    def settings(self) -> Settings:
        """Celeriac's settings."""
        return Settings(data_dir=self.folder / "data", broker_url=SecretStr(self.broker_url))

    @cached_property
    def storage(self) -> Storage:
        """Celeriac's files."""
        return Storage(self.settings)

    def pids(self) -> set[int]:
        """All processes that were started, with their children."""
        return set[int]().union(*(tree(process.pid) for process in self.processes))

    async def start(self, *argv: str, **variables: str) -> None:
        """Start a program with Python."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self._log.open("ab") as log:
            environment = {"PYTHONPATH": path, "TMPDIR": str(self.folder), **variables}
            self.processes.append(await spawn((sys.executable, *argv), environment=environment, output=log.fileno()))

    async def start_celeriac(self, *argv: str) -> None:
        """Run the command `celeriac` for the application with the job that copies."""
        variables = {
            "CELERIAC_APP": "benchmarks.peers.celeriac_files:app",
            "CELERIAC_BROKER_URL": self.broker_url,
            "CELERIAC_DATA_DIR": str(self.settings.data_dir),
        }
        await self.start("-m", "celeriac", *argv, **variables)

    async def ready(self, path: str) -> None:
        """Wait until the server answers.

        Raises:
            RunFailed: it does not.
        """
        give_up = time.monotonic() + _DEADLINE
        while time.monotonic() < give_up and all(is_alive(process.pid) for process in self.processes):
            try:
                await asyncio.to_thread(self.client.call, "GET", path)
            except (OSError, RunFailed):
                await asyncio.sleep(_LOOK)
            else:
                return
        raise RunFailed(f"the server is not ready\n{self._log.read_text(errors='replace')[-4000:]}")

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    async def kill(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            process.kill_group()
            await process.wait()


@asynccontextmanager
async def floor(folder: Path) -> AsyncGenerator[Place]:
    """The floor under plain uvicorn."""
    async with _place(folder) as place:
        address = ("--port", str(place.port), "--log-level", "warning")
        await place.start("-m", "uvicorn", "benchmarks.peers.files_floor:api", *address, BENCH_FOLDER=str(place.folder))
        await place.ready("/ready")
        yield place


@asynccontextmanager
async def celeriac_api(folder: Path) -> AsyncGenerator[Place]:
    """Celeriac's API."""
    async with fresh_server() as server, _place(folder, server.url) as place:
        await place.start_celeriac("api", "--port", str(place.port), "--log-level", "warning")
        await place.ready("/health/ready")
        yield place


@asynccontextmanager
async def celeriac_worker(folder: Path) -> AsyncGenerator[Place]:
    """Celeriac's worker, with one process that runs jobs, and its parent."""
    async with fresh_server() as server, _place(folder, server.url) as place:
        await place.start_celeriac("worker", "--shards", "1", "--loglevel", "warning")
        yield place


@asynccontextmanager
async def _place(folder: Path, broker_url: str = Place.broker_url) -> AsyncGenerator[Place]:
    with TemporaryDirectory(prefix="place-", dir=folder) as name:
        place = Place(Path(name), broker_url)
        try:
            yield place
        finally:
            await place.kill()
