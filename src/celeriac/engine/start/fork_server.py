"""A process that has imported the application and forks workers.

    python -m celeriac.engine.start.fork_server -A APP --control FD

A forked worker takes jobs a tenth of a second later; one that has to import everything first, after a second or more.
It talks with its parent over a socket that only the two of them have (`core/parent_protocol.py`).

It runs no thread and no event loop, so that what is forked from it is whole. Signals to stop are for the workers, which
get theirs from the parent: this one ends after SIGTERM when the last of them has.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click

from celeriac.core.collector import freeze, paused
from celeriac.core.errors import CeleriacError
from celeriac.core.parent_protocol import (
    LONGEST_PACKET,
    Ended,
    Fork,
    Forked,
    Message,
    NotForked,
    Ready,
    Unfit,
    decode,
    encode,
)
from celeriac.engine.process_hooks import die_with, give_back_memory
from celeriac.engine.start import command, loading

#: What a worker imports late, when it starts.
_USED_LATER = (
    "celery.app.control",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.worker",
    "celery.events.dispatcher",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.control",
    "celery.worker.strategy",
    "celeriac.engine.backend",
    "celeriac.engine.consumer",
    "encodings.idna",
)
_STOPPING = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


@click.command()
@click.option("-A", "--app", "address", required=True, help="The application, module:attribute.")
@click.option("--control", "descriptor", type=int, required=True, help="The socket on which a parent orders workers.")
def main(address: str, descriptor: int) -> None:
    """Fork workers of the application until the parent wants no more."""
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    run(address, control)


def run(address: str, control: socket.socket) -> None:
    """Fork workers of the application at `address`, as the parent on the other end of `control` orders.

    Returns when the parent wants no more. In each forked worker, it runs the worker's command line, and exits.
    """
    before = _open_for_both_ways()
    with paused():
        try:
            app = loading.load_with_tasks(address)
        except CeleriacError as error:
            loading.leave(error, control.detach())
        _preload()
        app.loader.import_default_modules()
        app.finalize()
    if reason := _unfit(before):
        click.echo(f"shards are not forked from one process: the application {reason}", err=True)
        control.send(encode(Unfit(reason)))
        return
    give_back_memory()
    freeze()
    arguments = _ForkServer(control).serve()
    if arguments is not None:  # in a worker
        sys.argv = [str(command.__file__), *arguments]
        command.main()


def _preload() -> None:
    """Import the modules that every worker uses, whatever its application."""
    for name in _USED_LATER:
        importlib.import_module(name)


def _unfit(before: set[int]) -> str | None:
    """What the application has begun when it was imported that a fork would break, or two processes cannot share."""
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        return "starts a thread when it is imported"
    if _open_for_both_ways() - before:
        return "opens a connection or a database when it is imported"
    return None


def _open_for_both_ways() -> set[int]:
    """The descriptors that are open for reading and writing, as those of sockets and databases are."""
    found: set[int] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the directory itself
            if fcntl.fcntl(int(entry.name), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
                found.add(int(entry.name))
    return found


class _ForkServer:
    """Serves one parent."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: set[int] = set()
        self._finishing = False
        self._woken, self._wake = socket.socketpair()  # a byte for each signal
        self._woken.setblocking(False)
        self._wake.setblocking(False)

    def serve(self) -> list[str] | None:
        """Fork. Returns in each worker, with the arguments of its command line; in this process when it is to end."""
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, _nothing)  # but wake up
        for signum in _STOPPING:
            signal.signal(signum, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._finish)
        self._tell(Ready())
        while not self._finishing or self._workers:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(1024)
                self._reap()
            if self._control in readable:
                order, descriptors, _, _ = socket.recv_fds(self._control, LONGEST_PACKET, 2)
                match decode(order):
                    case Fork(arguments):
                        if self._fork(descriptors):
                            return ["--report-to", str(descriptors[0]), *arguments]
                    case _:  # the parent has gone
                        return None
        return None

    def _fork(self, descriptors: list[int]) -> bool:
        """Fork a worker that gets those descriptors; whether this is it."""
        sys.stdout.flush()
        sys.stderr.flush()
        server = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # one that comes early waits until the worker can take it
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(NotForked(str(error.strerror)))
        else:
            if pid == 0:
                self._become_worker(server, descriptors[1:])
                return True
            self._adopt(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def _adopt(self, pid: int) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            os.setpgid(pid, pid)  # here, too: the group is there when the parent hears of it
        self._workers.add(pid)
        self._tell(Forked(pid))

    def _become_worker(self, server: int, outputs: list[int]) -> None:
        """Restore the signal handlers, and lead a process group, as a program that a shell has started does."""
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, *_STOPPING):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        die_with(server)
        for ours in (self._control, self._woken, self._wake):
            ours.close()
        for output in outputs:
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):  # there is none left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in self._workers:
                    self._workers.remove(pid)
                    self._tell(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _finish(self, *_: Any) -> None:
        self._finishing = True

    def _tell(self, message: Message) -> None:
        self._control.send(encode(message))


def _nothing(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main(prog_name="celery")
