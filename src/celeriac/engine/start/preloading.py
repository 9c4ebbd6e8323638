"""Imports an application into the process that forks workers, and turns its forks into workers.

A forked worker takes jobs after a tenth of a second. One that must import everything first needs a second or more.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import platform
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from celeriac.core.collector import freeze, paused
from celeriac.engine.process_hooks import die_with, give_back_memory, name_process
from celeriac.engine.start import command, loading

#: Modules that a worker imports late, when it starts.
_USED_LATER = (
    "billiard.pool",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.worker",
    "celery.events.dispatcher",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.control",
    "celery.worker.strategy",
    "celeriac.engine.backend",
    "celeriac.engine.consumer",
    "celeriac.engine.control",
    "celeriac.engine.pools",
    "encodings.idna",
)

#: The name of a forked worker in `ps -o comm`. Its command line is that of the process that forked it.
_NAME = b"celeriac-shard"

#: The signals that stop a worker. The process that forks it has its own handlers for them.
STOPPING = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def preload(address: str) -> str | None:
    """Import the application at `address`, and the modules that every worker uses.

    Returns:
        Why it cannot be forked: it has begun something that a fork would break, or two processes cannot share. None:
        it can be forked.

    Raises:
        ApplicationNotLoaded, ConfigurationError: as `loading.load_with_tasks`.
    """
    before = _open_for_both_ways()
    with paused():
        loading.load_with_tasks(address)
        for name in _USED_LATER:
            importlib.import_module(name)
        platform.platform()  # which Celery's banner shows, and Python keeps once it has asked another program
    if reason := _unfit(before):
        return reason
    give_back_memory()
    freeze()
    return None


def not_forked(reason: str) -> str:
    """Say for the log why shards are separate programs."""
    return f"shards are not forked from one process: the application {reason}"


def flush_output() -> None:
    """Write out what this process has printed, before a fork can print it once more. Its reader may have ended."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:  # as in a process that was started without the descriptor
                stream.flush()


def become_worker(parent: int, outputs: Sequence[int]) -> None:
    """In a fork, restore the signal handlers, and lead a process group, as a program does that a shell has started.

    Args:
        parent: the process that has forked this one. This one ends with it.
        outputs: the descriptor of its output, if it has its own.
    """
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGCHLD, *STOPPING):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, 0)
    die_with(parent)
    name_process(_NAME)
    for output in outputs:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)


def run_worker(report_to: int, arguments: Iterable[str]) -> None:
    """Run the command line in a fork that has become a worker, and exit."""
    sys.argv = [str(command.__file__), "--report-to", str(report_to), *arguments]
    command.main()


def _unfit(before: set[int]) -> str | None:
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        return "starts a thread when it is imported"
    if _open_for_both_ways() - before:
        return "opens a connection or a database when it is imported"
    return None


def _open_for_both_ways() -> set[int]:
    """Return the descriptors open for reading and writing, such as those of sockets and databases."""
    return {each for each in open_descriptors() if fcntl.fcntl(each, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR}


def open_descriptors() -> set[int]:
    """Return the open descriptors of this process, except the one that reads their directory."""
    return {each for each in map(int, os.listdir("/proc/self/fd")) if _is_open(each)}  # noqa: PTH208


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
