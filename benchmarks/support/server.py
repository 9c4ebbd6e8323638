"""The broker of a run: a Valkey of its own, empty or with what another one was filled with."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from redis.asyncio import Redis

from celeriac.launch.embedded import EmbeddedValkey
from celeriac.launch.probes import wait_until_ready

_DUMP = Path("valkey") / "dump.rdb"
_SHUTDOWN = 10.0


@dataclass(frozen=True)
class Server:
    """One that runs."""

    url: str
    pid: int
    directory: Path

    async def save(self, to: Path) -> None:
        """Write all that it holds into a file that `fresh_server` can begin with."""
        async with Redis.from_url(self.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.execute_command("SAVE")  # pyright: ignore[reportUnknownMemberType]
        shutil.copyfile(self.directory / _DUMP, to)


@asynccontextmanager
async def fresh_server(contents: Path | None = None) -> AsyncGenerator[Server]:
    """A server without persistence for the length of a `with` block; with `contents` once that has been loaded."""
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
