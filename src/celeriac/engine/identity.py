"""Names of worker processes that tell, on the same machine, whether the process still runs."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from functools import cache
from pathlib import Path


def new_worker_name() -> str:
    """A name for this process: `<machine>-<pid>-<random>`."""
    return f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"


def pid_of(name: str) -> int | None:
    """The number of the process of that name; None if it is on another machine."""
    machine, pid, _ = name.rsplit("-", 2)
    return int(pid) if machine == _machine() else None


def has_ended(name: str) -> bool:
    """Whether the process of that name is known to have ended; False for one on another machine."""
    pid = pid_of(name)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is there, and another user's
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether it has ended, but its parent, in a container often no proper one, has not taken notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it has gone just now; or there is no /proc
        return False
    return stat.rpartition(b") ")[2].startswith(b"Z")


@cache
def _machine() -> str:
    """A name for all that shares our process numbers: this boot of this machine, this container.

    Host names do not do: containers may share one, and then a number that means nothing here would look like a
    process that has ended.
    """
    facts = [socket.gethostname()]
    for fact in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(fact)
        if path.is_symlink():
            facts.append(str(path.readlink()))
        elif path.exists():
            facts.append(path.read_text().strip())
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]
