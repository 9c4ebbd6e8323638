"""A MariaDB server of its own for the tests of MySQL, on a socket in a temporary folder."""

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
from uuid import uuid4

import pymysql

_FAST = ("--skip-networking", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M")


def find_mariadb() -> Path | None:
    """The server's program, if the machine has one. No wheel brings it."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin:/usr/libexec")
    return Path(found) if found else None


class MariadbServer:
    """A server. Only the user that started it can reach its socket."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._home = Path(tempfile.mkdtemp(prefix="celeriac-mariadb-", dir="/tmp"))
        self._socket = self._home / "socket"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        data, as_user = self._home / "data", self._unprivileged()
        temporary = self._home / "tmp"  # a server that starts removes the temporary tables of others that share it
        temporary.mkdir()
        temporary.chmod(0o777)
        made = subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
            **as_user,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        command = [self._program, "--no-defaults", f"--datadir={data}", f"--socket={self._socket}"]
        command += [f"--tmpdir={temporary}", *_FAST]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **as_user)
        self._wait_until_ready()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        shutil.rmtree(self._home)

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid4().hex}"
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        finally:
            connection.close()
        return f"mysql://root@localhost/{name}?unix_socket={self._socket}&charset=utf8mb4"

    def _connect(self) -> Any:
        return pymysql.connect(unix_socket=str(self._socket), user="root")

    def _unprivileged(self) -> dict[str, Any]:
        """Arguments for subprocesses: MariaDB refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        os.chown(self._home, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 60
        while "ready for connections" not in (log := (self._home / "log").read_text(errors="replace")):
            assert self._process.poll() is None, f"mariadb ended at its start:\n{log}"
            assert time.monotonic() < deadline, f"mariadb did not become ready:\n{log}"
            time.sleep(0.05)
