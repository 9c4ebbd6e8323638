"""Takes rights and room from this process, and turns it into another program. Only the standard library is imported.

    python -I -S confine.py PARENT MEMORY CPU_SECONDS FILE_BYTES PLACES PROGRAM ARGUMENT…

The limits are inherited by the program. It has no network where the kernel allows that to be taken away, and gets no
rights from set-user-ID programs. On Linux it dies with the process PARENT, and Landlock keeps it from all files but
those below PLACES. Of these, each stands on a line: `r PATH` to read, `w PATH` to write as well, `s PATH` for sockets.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from contextlib import suppress
from typing import Any

_GRACE_S = 5
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
#: What root keeps: to read and write files of others, as the storage may be another user's.
_CAPABILITIES, _KEPT = 64, (1, 2)

#: Landlock's calls, the same on all processors.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
#: Its rights (linux/landlock.h): execute, read a file, read a directory; make a socket, delete it; all to files.
_READ, _SOCKET, _TO_FILES = 0b1101, 1 << 9 | 1 << 5, 0xC007
#: The number of rights that each version knows, from the first.
_RIGHTS = (13, 14, 15, 15, 16)
#: Neither bind nor connect TCP; neither reach abstract sockets nor signal others.
_TCP, _SCOPE = 0b11, 0b11


def main(parent: int, memory: int, cpu_s: int, file_bytes: int, places: str, *command: str) -> None:
    """Apply the limits, and become `command`."""
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        _limit(kind, limit, limit)
    _limit(resource.RLIMIT_CPU, cpu_s, cpu_s + _GRACE_S)  # SIGXCPU, which says why, and later SIGKILL
    os.umask(0o077)
    if sys.platform == "linux":
        _confine(parent, places.splitlines())
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores both, which the program would inherit
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 (an absolute path, and no shell)


def _limit(kind: int, *wanted: int) -> None:
    """Set the soft and the hard limit, no higher than it was."""
    _, before = resource.getrlimit(kind)
    soft, hard = (limit if before == resource.RLIM_INFINITY else min(limit, before) for limit in wanted)
    try:
        resource.setrlimit(kind, (soft, hard))
    except (ValueError, OSError):  # macOS refuses RLIMIT_AS
        return


def _confine(parent: int, places: list[str]) -> None:
    """Leave the network, and die with the parent. In this order: the kernel forgets the second with the first."""
    libc = ctypes.CDLL(None, use_errno=True)
    # root may leave the network at once. Others become the owner of a world of their own for that, if they may.
    libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)
    for number in range(_CAPABILITIES):
        if number not in _KEPT:
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _keep_to(libc, places)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died before that
        os.kill(os.getpid(), signal.SIGKILL)


def _keep_to(libc: Any, places: list[str]) -> None:
    """Give up all files but these, as far as the kernel's version of Landlock goes. Many kernels have none."""
    version: int = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return
    every = (1 << _RIGHTS[min(version, len(_RIGHTS)) - 1]) - 1
    about = struct.pack("QQQ", every, _TCP, _SCOPE)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules: int = libc.syscall(_CREATE, about, len(about), 0)
    if rules < 0:
        return
    rights = {"r": _READ, "w": every, "s": _SOCKET}
    for kind, _, path in (place.partition(" ") for place in places):
        with suppress(OSError):  # not every system has each of them
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights[kind] if stat.S_ISDIR(os.fstat(opened).st_mode) else rights[kind] & every & _TO_FILES
            libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", allowed, opened), 0)
            os.close(opened)
    libc.syscall(_RESTRICT, rules, 0)
    os.close(rules)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
