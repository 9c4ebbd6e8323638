"""Makes the kernel refuse what it refuses in containers and where it is old: Landlock, namespaces, filters of calls."""

from __future__ import annotations

import ctypes
import os
import struct

_LANDLOCK = 444
_CALLS = {"x86_64": (272, 157, 126), "aarch64": (97, 167, 91), "riscv64": (97, 167, 91)}
_UNSHARE, _PRCTL, _CAPSET = _CALLS.get(os.uname().machine, (-1, -1, -1))
_LOAD, _EQUAL, _END, _ALLOW, _DENY = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050001
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22


def refuse(*what: str) -> None:
    """Refuse this process and its children `landlock`, `unshare`, `capset` or `filters`, for ever."""
    steps = [(_LOAD, 0, 0, 0)]
    for name, call in (("landlock", _LANDLOCK), ("unshare", _UNSHARE), ("capset", _CAPSET)):
        steps += [(_EQUAL, 0, 1, call), (_END, 0, 0, _DENY)] if name in what else []
    if "filters" in what:
        steps += [(_EQUAL, 0, 3, _PRCTL), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, _PR_SET_SECCOMP), (_END, 0, 0, _DENY)]
    steps.append((_END, 0, 0, _ALLOW))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, 2, struct.pack("HP", len(steps), ctypes.addressof(program)), 0, 0) == 0
