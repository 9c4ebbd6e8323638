"""A replica of the tests' Postgres server, for what is said of replication."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


class PostgresStandby:
    """A server that applies what another one of this machine does."""

    def __init__(self, binaries: Path, primary: Path, user: str) -> None:
        self._binaries = binaries
        self._primary = primary
        self._user = user
        self._home = Path(tempfile.mkdtemp(prefix="celeriac-standby-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        as_user, data = self._unprivileged(), self._home / "data"
        command = [self._binaries / "pg_basebackup", "-h", self._primary, "-U", self._user, "-D", data, "-R"]
        copied = subprocess.run([*command, "--checkpoint=fast"], capture_output=True, text=True, **as_user)
        assert copied.returncode == 0, copied.stderr
        data.chmod(0o700)
        command = [
            self._binaries / "postgres",
            "-D",
            data,
            "-k",
            self._home,
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._home, **as_user)
        deadline = time.monotonic() + 60
        while "ready" not in (self._read(data / "postmaster.pid")):
            assert self._process.poll() is None, self._read(self._home / "log")
            assert time.monotonic() < deadline, self._read(self._home / "log")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self, primary_url: str) -> str:
        """The URL of the same database here."""
        return primary_url.replace(str(self._primary), str(self._home))

    def _read(self, path: Path) -> str:
        return path.read_text() if path.exists() else ""

    def _unprivileged(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        os.chown(self._home, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
