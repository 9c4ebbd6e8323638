"""Makes names for worker processes. On the same machine, a name tells whether its process still runs."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from functools import cache
from pathlib import Path


def new_worker_name() -> str:
    """Make a name for this process: `<machine>-<pid>-<random>`."""
    return f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"


def pid_of(name: str) -> int | None:
    """Return the process id in a worker's name; None if that is on another machine."""
    machine, pid, _ = name.rsplit("-", 2)
    return int(pid) if machine == _machine() else None


def has_ended(name: str) -> bool:
    """Return whether the worker's process is known to have ended; False for one on another machine."""
    pid = pid_of(name)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs, as another user
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether the process has ended, but its parent has not waited for it, as often happens in containers."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it has ended just now, or there is no /proc
        return False
    return stat.rpartition(b") ")[2].startswith(b"Z")


@cache
def _machine() -> str:
    """Return a name for the process id namespace: this boot of this machine, or this container.

    The host name is not enough, because containers may share one. A process id of another container would then look
    like that of an ended process.
    """
    facts = [socket.gethostname()]
    for fact in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(fact)
        if path.is_symlink():
            facts.append(str(path.readlink()))
        elif path.exists():
            facts.append(path.read_text().strip())
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]
