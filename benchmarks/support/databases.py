"""A Postgres server for a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.support.fleet import RunFailed
from tests.support.postgres import PostgresServer as Postgres
from tests.support.postgres import find_binaries

__all__ = ["Postgres", "running_postgres"]


@asynccontextmanager
async def running_postgres() -> AsyncGenerator[Postgres]:
    """Run a server during the block, the one that tests use.

    Raises:
        RunFailed: there is none on this machine.
    """
    binaries = find_binaries()
    if binaries is None:
        raise RunFailed("there is no Postgres server on this machine")
    server = Postgres(binaries)
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        await asyncio.to_thread(server.stop)
