"""What engines share whose driver blocks: a few threads of each process, and a connection for each."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

#: Threads of one process, and so connections.
THREADS = 8


@dataclass(frozen=True, slots=True)
class _Process:
    """The open connections and threads of one process. A forked child must not use its parent's."""

    engine: Engine
    threads: ThreadPoolExecutor


class ThreadedEngine(ABC):
    """An engine that runs each transaction in a thread, which costs one hop."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` in a thread.

        Raises:
            DatabaseUnavailable: the database cannot be opened, read or written, or stayed locked.
        """
        return await self._in_thread(self._write if write else self._read, function)

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a thread. It queries only."""
        return await self.run(function, write=False)

    async def outside(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a thread. Each of its statements is a transaction of its own."""
        return await self._in_thread(self._outside, function)

    async def dispose(self) -> None:
        """Close this process's connections and end its threads."""
        process = self._processes.pop(os.getpid(), None)
        if process is not None:
            await asyncio.to_thread(process.threads.shutdown)
            process.engine.dispose()

    async def _in_thread(
        self, call: Callable[[Engine, Callable[[Connection], T]], T], function: Callable[[Connection], T]
    ) -> T:
        process = self._process()
        return await asyncio.get_running_loop().run_in_executor(process.threads, call, process.engine, function)

    def _process(self) -> _Process:
        # Keep the entries of parent processes: dropping them would close their connections.
        if os.getpid() not in self._processes:
            threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"celeriac-{self._name}")
            self._processes[os.getpid()] = _Process(self._open(), threads)
        return self._processes[os.getpid()]

    _name = "database"

    @abstractmethod
    def _open(self) -> Engine:
        """Make SQLAlchemy's engine."""

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        """Raise `DatabaseUnavailable` for what says that the database itself is in trouble."""

    @abstractmethod
    def _write(self, engine: Engine, function: Callable[[Connection], T]) -> T:
        """Call `function` in a transaction, and commit that."""

    def _read(self, engine: Engine, function: Callable[[Connection], T]) -> T:
        with self._translated(), engine.connect() as connection:
            return function(connection)

    def _outside(self, engine: Engine, function: Callable[[Connection], T]) -> T:
        with self._translated(), engine.connect() as connection:
            return function(connection.execution_options(isolation_level="AUTOCOMMIT"))
