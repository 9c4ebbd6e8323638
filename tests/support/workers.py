"""Real workers: `celery worker` as a process of its own, with its log in a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
POOLS = ("solo", "prefork", "threads")
READY = r"ready\."

#: Becomes the program it is given, which the kernel then kills if pytest vanishes (PR_SET_PDEATHSIG is 1).
_EXEC = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
_DIES_WITH_US = [sys.executable, "-I", "-S", "-c", _EXEC] if sys.platform == "linux" else []


class Worker:
    """One started worker. Its log survives it."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path, name: str) -> None:
        self.process = process
        self.name = name
        self._log_file = log_file

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        return self._log_file.read_text(errors="replace")

    def wait_for_log(self, pattern: str, *, within: float = 20.0) -> str:
        """The text that `pattern` matches in the log, as soon as it is there."""

        def look() -> str | None:
            found = re.search(pattern, self.log)
            assert found or self.process.poll() is None, f"the worker ended before it said {pattern!r}:\n{self.log}"
            return found and found.group()

        return wait_until(look, f"{pattern!r} in the log:\n{self.log}", within=within)

    def children(self) -> list[int]:
        """The pids of its pool's processes."""
        listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True)
        return [int(pid) for pid in listing.stdout.split()]

    def signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    def stop(self, *, within: float = 20.0) -> int:
        """Ask it to end as an operator would (SIGTERM), and return its exit code; kill it if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(within)
        finally:
            self.kill()

    def dismiss(self, *, within: float = 10.0) -> None:
        """The same, for one of which nothing more is asked: a job that is held for ever does not hold it up."""
        with suppress(subprocess.TimeoutExpired):
            self.stop(within=within)

    def kill(self) -> None:
        """Kill the worker, and nothing but the worker: its pool's processes are on their own."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start_worker(
    application: str,
    environment: Mapping[str, str],
    log_file: Path,
    *,
    pool: str,
    concurrency: int = 2,
    name: str = "worker",
    options: Sequence[str] = (),
    until: str | None = READY,
) -> Worker:
    """Start `celery -A application worker` and return once it has printed `until`: that it takes jobs.

    To be called in a thread that stays: the worker is killed when it ends.
    """
    command = [*_DIES_WITH_US, sys.executable, "-m", "celery", "-A", application, "worker", "--loglevel=info"]
    command += [f"--pool={pool}", f"--concurrency={concurrency}", f"--hostname={name}@%h"]
    command += ["--without-mingle", "--without-gossip", *options]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    worker = Worker(process, log_file, name)
    try:
        if until is not None:
            worker.wait_for_log(until)
    except BaseException:
        worker.kill()
        raise
    return worker
