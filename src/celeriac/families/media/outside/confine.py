"""Takes rights and room from this process, and turns it into another program. Only the standard library is imported.

    python -I -S confine.py PARENT MEMORY CPU_SECONDS FILE_BYTES PROGRAM ARGUMENT…

The limits are inherited by the program. It has no network where the kernel allows that to be taken away, and gets no
rights from set-user-ID programs. On Linux it dies with the process PARENT.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_GRACE_S = 5
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main(parent: int, memory: int, cpu_s: int, file_bytes: int, *command: str) -> None:
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
        _confine(parent)
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


def _confine(parent: int) -> None:
    """Leave the network, and die with the parent. In this order: the kernel forgets the second with the first."""
    libc = ctypes.CDLL(None, use_errno=True)
    # root may leave the network at once. Others become the owner of a world of their own for that, if they may.
    libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died before that
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
