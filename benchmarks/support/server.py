"""Starts the broker of a run: a Valkey of its own, empty or with a copy of another one's data."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from redis.asyncio import Redis

from celeriac.launch.broker.embedded import EmbeddedValkey
from celeriac.launch.supervision.probes import wait_until_ready

_DUMP = Path("valkey") / "dump.rdb"
_SHUTDOWN = 10.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    pid: int
    directory: Path

    async def save(self, to: Path) -> None:
        """Write all data into a file that `fresh_server` can load."""
        async with Redis.from_url(self.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.execute_command("SAVE")  # pyright: ignore[reportUnknownMemberType]
        shutil.copyfile(self.directory / _DUMP, to)


@asynccontextmanager
async def fresh_server(contents: Path | None = None) -> AsyncGenerator[Server]:
    """Run a server without persistence during the `with` block, after it has loaded `contents`, if given."""
    with TemporaryDirectory(prefix="celeriac-bench-") as name:
        directory = Path(name)
        valkey = EmbeddedValkey(directory, append_only=False)
        await valkey.prepare()
        if contents is not None:
            shutil.copyfile(contents, directory / _DUMP)
        with (directory / "log").open("wb") as log:
            process = await valkey.spawn(log.fileno())
        try:
            await wait_until_ready(valkey.probe())
            yield Server(valkey.endpoint.url, process.pid, directory)
        finally:
            await process.stop(_SHUTDOWN)
