"""Exec shim: ties a child's life to its parent's, then becomes the child's program.

Run as a file by `process.spawn`, with `python -I -S`, so that it costs a child milliseconds; it must not import
anything of Celeriac. A shim rather than `preexec_fn`, which runs Python between fork and exec and can deadlock.

    child.py PARENT_PID SIGNAL WATCH_FD PROGRAM [ARGUMENT...]

When the parent vanishes, even by SIGKILL, the program gets SIGNAL. Linux does that itself (`PR_SET_PDEATHSIG`,
which survives exec). Elsewhere WATCH_FD is the read end of a pipe whose write end only the parent holds, and a
watcher process waits for its end of file.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_EXECUTE = 127
_HIGHEST_INHERITED_FD = 1024


def main(arguments: list[str]) -> None:
    """Arrange for the death signal and replace this process by the program."""
    parent, death_signal, watch_fd = (int(argument) for argument in arguments[:3])
    program = arguments[3:]
    if watch_fd < 0:
        _signal_on_parent_death(death_signal)
    else:
        _leave_watcher(watch_fd, death_signal)
    if os.getppid() != parent:  # it died before the arrangement was in place
        sys.exit(0)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot execute {program[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_EXECUTE)


def _signal_on_parent_death(death_signal: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")


def _leave_watcher(watch_fd: int, death_signal: int) -> None:
    """Fork twice, so that the program does not find itself with a child it never started."""
    program = os.getpid()
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        os.close(watch_fd)
        return
    if os.fork() == 0:
        os.setsid()
        os.dup2(watch_fd, 0)
        os.closerange(1, _HIGHEST_INHERITED_FD)
        if os.read(0, 1) == b"":  # a byte says that the program has ended and was reaped
            os.killpg(program, death_signal)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
