"""Real workers: `celery worker` as a process of its own, with its log in a file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import DEADLINE, wait_until
from tests.support.warm import WarmProcess

ROOT = Path(__file__).parents[2]
POOLS = ("asyncio", "solo", "prefork", "threads")
READY = r"ready\."
#: Seconds in which a worker may write down its coverage, even if a job holds it for ever.
_LAST_WORDS = 10.0


class Worker:
    """One started worker. Its log survives it."""

    def __init__(self, process: WarmProcess, name: str) -> None:
        self.process = process
        self.name = name

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        return self.process.output

    def wait_for_log(self, pattern: str, *, within: float = DEADLINE) -> str:
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

    def wait_end(self, *, within: float = DEADLINE) -> int | None:
        """Its exit code, as soon as it has ended by itself; kill it if it has not in time."""
        try:
            return self.process.wait(within)
        finally:
            self.kill()

    def stop(self, *, within: float = DEADLINE) -> int | None:
        """Ask it to end as an operator would (SIGTERM), and return its exit code; kill it if it does not."""
        self.signal(signal.SIGTERM)
        return self.wait_end(within=within)

    def kill(self) -> None:
        """Kill the worker, and nothing but the worker: its pool's processes are on their own."""
        self.process.end()


def dismiss(workers: Sequence[Worker]) -> None:
    """Kill workers of which nothing more is asked: Celery takes up to two seconds to end one, which nobody looks at.

    Where coverage is measured they end by themselves, all at once. A process that is killed leaves no data.
    """
    if "coverage" in sys.modules:
        for worker in workers:
            worker.signal(signal.SIGTERM)
        deadline = time.monotonic() + _LAST_WORDS
        for worker in workers:
            worker.process.wait(max(0, deadline - time.monotonic()))
    for worker in workers:
        worker.kill()


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

    As `python -m celery` runs it, but in a process that has the imports behind it.
    """
    command = ["celery", "-A", application, "worker", "--loglevel=info"]
    if pool != "asyncio":  # which is what a worker has unless another one is asked for
        command.append(f"--pool={pool}")
    command += [f"--concurrency={concurrency}", f"--hostname={name}@%h"]
    command += ["--without-mingle", "--without-gossip", *options]
    process = WarmProcess("module", command, cwd=ROOT, environment={**os.environ, **environment}, log=log_file)
    worker = Worker(process, name)
    try:
        if until is not None:
            worker.wait_for_log(until)
    except BaseException:
        worker.kill()
        raise
    return worker
