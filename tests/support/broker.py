"""A broker that a test may kill, freeze and start again: its own Valkey, which keeps its data and its address."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import redis
from redis.asyncio import Redis

from celeriac.launch.broker.embedded import EmbeddedValkey
from celeriac.launch.supervision.child_process import ChildProcess
from celeriac.launch.supervision.probes import wait_until_ready
from tests.support.waiting import eventually


class Broker:
    """One server. `url` stays the same over restarts."""

    def __init__(self, directory: Path) -> None:
        self._server = EmbeddedValkey(directory)
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return self._server.endpoint.url

    async def start(self) -> None:
        """Start it, and return when it answers."""
        if self._process is None:
            await self._server.prepare()
            self._process = await self._server.spawn()
            await wait_until_ready(self._server.probe())
            async with Redis.from_url(self.url) as operator:
                # With `everysec`, what comes while the disk is busy with a sync is written after it: a kill loses that.
                await operator.config_set("appendfsync", "always")

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill_group()
            await process.wait()

    def freeze(self) -> None:
        """Have it hold its connections open and answer nobody."""
        assert self._process is not None
        self._process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.signal(signal.SIGCONT)


@asynccontextmanager
async def fragile_broker(directory: Path) -> AsyncGenerator[Broker]:
    """A broker for the length of a `with` block."""
    broker = Broker(directory)
    try:
        await broker.start()
        yield broker
    finally:
        await broker.kill()


@asynccontextmanager
async def unable_to_save(directory: Path, operator: redis.Redis) -> AsyncGenerator[None]:
    """Have the server of `directory` fail to save, as with a full disk: whatever is to be written it refuses."""
    in_the_way = directory / "valkey" / "dump.rdb"
    in_the_way.mkdir()
    operator.config_set("save", "3600 1")
    await _saved(operator, "err")
    yield
    in_the_way.rmdir()
    await _saved(operator, "ok")


async def _saved(operator: redis.Redis, status: str) -> None:
    operator.bgsave()
    await eventually(lambda: operator.info("persistence")["rdb_last_bgsave_status"] == status, f"saving is {status}")
