"""The fork server: a process that imports the application, and forks workers.

    python -m celeriac.engine.start.fork_server -A APP --control FD

`celeriac up` runs one. `celeriac worker` forks by itself (`launch/worker/forking_loop.py`).
The server and its parent share a private socket (`core/parent_protocol.py`).

It has no other threads and no event loop, so that its forks are sound. The parent itself signals the workers to stop.
After SIGTERM, the server ends when its last worker has ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Sequence
from typing import Any

import click

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
from celeriac.engine.start import loading, preloading
from celeriac.engine.start.preloading import STOPPING


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

    Return when the parent wants no more. In each forked worker, run the worker's command line, and exit.
    """
    try:
        reason = preloading.preload(address)
    except CeleriacError as error:
        loading.leave(error, control.detach())
    if reason is not None:
        click.echo(preloading.not_forked(reason), err=True)
        control.send(encode(Unfit(reason)))
        return
    order = _ForkServer(control).serve()
    if order is not None:  # in a worker
        preloading.run_worker(*order)


class _ForkServer:
    """A server for one parent."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: set[int] = set()
        self._finishing = False
        self._woken, self._wake = socket.socketpair()  # a byte for each signal
        self._woken.setblocking(False)
        self._wake.setblocking(False)

    def serve(self) -> tuple[int, Sequence[str]] | None:
        """Fork workers. Return None in this process when it shall end.

        In each worker, return the descriptor on which it reports, and the arguments of its command line.
        """
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, _nothing)  # but wake up
        for signum in STOPPING:
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
                            return descriptors[0], arguments
                    case _:  # the parent has ended
                        return None
        return None

    def _fork(self, descriptors: list[int]) -> bool:
        """Fork a worker that gets these descriptors. Return True in the worker."""
        preloading.flush_output()
        server = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # an early signal waits until the worker can handle it
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(NotForked(str(error.strerror)))
        else:
            if pid == 0:
                preloading.become_worker(server, descriptors[1:])
                for ours in (self._control, self._woken, self._wake):
                    ours.close()
                return True
            self._adopt(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def _adopt(self, pid: int) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            os.setpgid(pid, pid)  # both sides do this, so that the group exists when the parent hears of it
        self._workers.add(pid)
        self._tell(Forked(pid))

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
