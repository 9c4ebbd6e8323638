"""A bash that runs a page's commands one after the other, as a reader's terminals would."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.support.processes import is_alive

#: Commands that go on until they are stopped: they get a terminal of their own, so to speak.
_SERVERS = re.compile(
    r"(celeriac (up|api|worker|beat|flower)|celery -A \S+ (worker|beat|flower)|uvicorn|valkey-server"
    r"|python -m aiosmtpd)\b"
)
#: Seconds for one command, or for a server to print what it should: on a full machine five processes start slowly.
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Server:
    """A command that goes on until it is stopped, and the file that gets its output."""

    command: str
    pid: int
    log: Path

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, printed: Callable[[str], bool], what: str) -> None:
        """Return once `printed` is true of its output."""
        give_up = time.monotonic() + _PATIENCE
        while not printed(self.printed):
            assert is_alive(self.pid), f"{what}: {self.command}\nended, after it had printed\n{self.printed}"
            assert time.monotonic() < give_up, f"{what}: {self.command}\nprinted only\n{self.printed}"
            time.sleep(0.02)

    def kill(self) -> None:
        """What it has not done by now, nobody waits for. Its children do not outlive it."""
        if is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)


class Shell:
    """Keeps its variables from one command to the next; servers run in the background until `close`."""

    def __init__(self, cwd: Path, environment: Mapping[str, str]) -> None:
        self._cwd = cwd
        self._servers: list[Server] = []
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run `command`, and return its exit code and what it printed."""
        assert self._bash.stdin is not None and self._bash.stdout is not None
        end = uuid4().hex
        # What is run last leaves the code in `$?` for the next command.
        self._bash.stdin.write(f"{command}\n_code=$?; echo; echo {end} $_code; (exit $_code)\n")
        self._bash.stdin.flush()
        # With all that it has started: a command that is left would keep its output open.
        timer = threading.Timer(_PATIENCE, os.killpg, (self._bash.pid, signal.SIGKILL))
        timer.start()
        printed: list[str] = []
        try:
            for line in self._bash.stdout:
                if line.startswith(end):
                    return int(line.split()[1]), "".join(printed)
                printed.append(line)
        finally:
            timer.cancel()
        raise AssertionError(f"not within {_PATIENCE:g} s: {command}\n{''.join(printed)}")

    def is_server(self, command: str) -> bool:
        """Whether the command goes on until it is stopped."""
        if "||" in command:  # it is to fail
            return False
        words = shlex.split(command)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        return _SERVERS.match(" ".join(words)) is not None

    def start(self, command: str) -> Server:
        """Start a server."""
        log = self._cwd / f".server-{len(self._servers)}.log"
        log.touch()
        code, printed = self.run(f"{command} >{log} 2>&1 </dev/null & echo $!")
        assert code == 0, printed
        self._servers.append(Server(command, int(printed), log))
        return self._servers[-1]

    def close(self) -> None:
        """Stop the servers, the last one first, and the shell."""
        for server in reversed(self._servers):
            server.kill()
        self._bash.communicate()
