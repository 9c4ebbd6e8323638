"""Takes rights and room from this process, and turns it into another program. Only the standard library is imported.

    python -I -S confine.py PARENT MEMORY CPU_SECONDS FILE_BYTES STRICT PLACES PROGRAM ARGUMENT…

The limits are inherited by the program. It has no network where the kernel allows that to be taken away, and gets no
rights from set-user-ID programs. On Linux it dies with the process PARENT, and Landlock keeps it from all files but
those below PLACES. Of these, each stands on a line: `r PATH` to read, `w PATH` to write as well, `s PATH` for sockets.

What the system refuses to take away is said on the first line of standard error: `UNCONFINED files network`. If STRICT
is 1, the program is not started then, and the exit code is 78.
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
_NOT_STARTED = 78
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 23, 24, 38
#: What root keeps: to read and write files of others, as the storage may be another user's.
_CAPABILITIES, _KEPT = 64, (1, 2)
_CAPABILITY_VERSION = 0x20080522

#: Landlock's calls, the same on all processors.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
#: Its rights (linux/landlock.h): execute, read a file, read a directory; make a socket; all to files.
_READ, _SOCKET, _TO_FILES = 0b1101, 1 << 9, 0xC007
#: The number of rights that each version knows, from the first.
_RIGHTS = (13, 14, 15, 15, 16)
#: Neither bind nor connect TCP; neither reach abstract sockets nor signal others.
_TCP, _SCOPE = 0b11, 0b11

#: What a filter of calls (seccomp) needs to know of a processor: its number, and the call that makes a socket.
_PROCESSORS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198), "riscv64": (0xC00000F3, 198)}
#: It can make sockets as well.
_IO_URING_SETUP = 425
#: Calls from here on are the same ones by other numbers, on x86_64.
_X32 = 0x40000000
_FILTER, _AF_UNIX, _EACCES = 2, 1, 13


def main(parent: int, memory: int, cpu_s: int, file_bytes: int, strict: int, places: str, *command: str) -> None:
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
    lacks = _confine(parent, places.splitlines()) if sys.platform == "linux" else ["files", "network"]
    if lacks:
        sys.stderr.write(f"UNCONFINED {' '.join(lacks)}\n")
        sys.stderr.flush()
        if strict:
            sys.exit(_NOT_STARTED)
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


def _confine(parent: int, places: list[str]) -> list[str]:
    """Leave the network, die with the parent, and say what was refused. In this order: the kernel forgets the second
    with the first."""
    libc = ctypes.CDLL(None, use_errno=True)
    # root may leave the network at once. Others become the owner of a world of their own for that, if they may.
    is_root = os.geteuid() == 0
    has_left = libc.unshare(_CLONE_NEWNET if is_root else _CLONE_NEWUSER | _CLONE_NEWNET) == 0
    kept = [number for number in range(_CAPABILITIES) if number not in _KEPT and _keeps(libc, number)]
    hands_none_down = _inherits_none(libc)
    is_bound = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0  # in any case: what follows needs it
    is_closed = _keep_to(libc, places)
    makes_none = _make_no_sockets(libc, but_unix=any(place.startswith("s ") for place in places))
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died before that
        os.kill(os.getpid(), signal.SIGKILL)
    is_tame = hands_none_down and is_bound and not (is_root and kept)  # others have no rights that they could keep
    found = {"files": is_closed, "network": has_left or makes_none, "rights": is_tame}
    return [name for name, is_taken in found.items() if not is_taken]


def _keeps(libc: Any, capability: int) -> bool:
    """Give up a capability. Return whether it is still there."""
    return bool(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)) and libc.prctl(_PR_CAPBSET_READ, capability) == 1


def _inherits_none(libc: Any) -> bool:
    """Hand no capability down, as some containers do: it would be there again, whatever has been given up."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION, 0))
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) != 0:
        return False
    # Twice 32 of them: those in effect, permitted, and inherited. Whoever has no inherited ones has no ambient ones.
    numbers = struct.unpack("6I", sets.raw)
    is_set: bool = libc.capset(header, struct.pack("6I", *numbers[:2], 0, *numbers[3:5], 0)) == 0
    return is_set


def _keep_to(libc: Any, places: list[str]) -> bool:
    """Give up all files but these, as far as the kernel's version of Landlock goes. Return whether it has one."""
    version: int = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    every = (1 << _RIGHTS[min(version, len(_RIGHTS)) - 1]) - 1
    about = struct.pack("QQQ", every, _TCP, _SCOPE)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules: int = libc.syscall(_CREATE, about, len(about), 0)
    if rules < 0:
        return False
    rights = {"r": _READ, "w": every, "s": _SOCKET}
    for kind, _, path in (place.partition(" ") for place in places):
        with suppress(OSError):  # not every system has each of them
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights[kind] if stat.S_ISDIR(os.fstat(opened).st_mode) else rights[kind] & every & _TO_FILES
            libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", allowed, opened), 0)
            os.close(opened)
    is_restricted: bool = libc.syscall(_RESTRICT, rules, 0) == 0
    os.close(rules)
    return is_restricted


def _make_no_sockets(libc: Any, *, but_unix: bool) -> bool:
    """Have the kernel refuse sockets, also in containers, where no network can be left. Return whether it does."""
    if os.uname().machine not in _PROCESSORS:
        return False
    processor, make_socket = _PROCESSORS[os.uname().machine]
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06  # instructions of Berkeley packet filters
    allow, deny = 0x7FFF0000, 0x00050000 | _EACCES
    steps = [  # each with how many steps to go over if it is so, and if it is not
        (load, 0, 0, 4),  # the processor, as the call sees it
        (equal, 1, 0, processor),
        (end, 0, 0, deny),
        (load, 0, 0, 0),  # the call
        (at_least, 6, 0, _X32),
        (equal, 5, 0, _IO_URING_SETUP),
        (equal, 1, 0, make_socket),
        (end, 0, 0, allow),
        (load, 0, 0, 16),  # its first argument: the family
        (equal, 0, 1, _AF_UNIX if but_unix else 0),
        (end, 0, 0, allow),
        (end, 0, 0, deny),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    about = struct.pack("HP", len(steps), ctypes.addressof(program))
    is_set: bool = libc.prctl(_PR_SET_SECCOMP, _FILTER, about, 0, 0) == 0
    return is_set


if __name__ == "__main__":
    main(*(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])), *sys.argv[6:])
