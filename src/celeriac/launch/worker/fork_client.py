"""The parent's view of the fork server (`engine/start/fork_server.py`), from which shards are forked.

A supervisor keeps it as one more child. On Linux only: elsewhere, what systems load into each process is not made for a
fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from celeriac.core.errors import StartRefused
from celeriac.core.parent_protocol import (
    LONGEST_PACKET,
    Ended,
    Fork,
    Forked,
    NotForked,
    Ready,
    Refused,
    Unfit,
    decode,
    encode,
)
from celeriac.launch.programs import commands
from celeriac.launch.supervision.child_process import Running, spawn
from celeriac.launch.supervision.probes import Probe
from celeriac.settings import Settings


def is_possible() -> bool:
    """Whether this system lets processes be forked safely, and tell whether they can be."""
    return sys.platform == "linux" and Path("/proc/self/fd").exists()


class ForkedProcess:
    """A worker that the fork server has forked, and waits for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def signal(self, signum: int) -> None:
        if not self._code.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def has_ended(self, code: int) -> None:
        """To be called once."""
        self._code.set_result(code)


class ForkClient(Probe):
    """Forks processes of one application, over as many processes of its own as that takes.

    Attributes:
        is_unfit: the application cannot be forked, and has ended the process.
    """

    def __init__(self, settings: Settings, variables: Mapping[str, str]) -> None:
        self._settings = settings
        self._variables = variables
        self._settled = asyncio.Event()
        self._control: socket.socket | None = None
        self._orders: deque[asyncio.Future[ForkedProcess]] = deque()  # in which answers come
        self._workers: dict[int, ForkedProcess] = {}
        self._refusal: StartRefused | None = None
        self._gone = asyncio.Event()
        self.is_unfit = False

    async def spawn(self, output: int | None) -> Running:
        """Start the process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            command = commands.fork_server_command(self._settings, control=theirs.fileno())
            try:
                inherited = (theirs.fileno(),)
                process = await spawn(command, environment=self._variables, output=output, inherit=inherited)
            except BaseException:
                ours.close()
                raise
        self._control = ours
        self._refusal = None
        self._gone.clear()
        asyncio.get_running_loop().add_reader(ours, self._hear, ours)
        return process

    async def ready(self) -> bool:
        return self._settled.is_set()

    async def refusal(self) -> StartRefused | None:
        await self._gone.wait()
        return self._refusal

    async def settled(self) -> None:
        """Wait until it is known whether it forks; it does unless it `is_unfit`."""
        await self._settled.wait()

    async def fork(self, arguments: Sequence[str], report_to: int, output: int | None) -> ForkedProcess:
        """Fork a worker.

        Args:
            arguments: of its command line.
            report_to: the descriptor of its report.
            output: that of its output; None for the server's own.

        Raises:
            OSError: it cannot be forked now.
        """
        if self._control is None:
            raise BrokenPipeError("the process that forks it has ended")
        order = encode(Fork(arguments))
        socket.send_fds(self._control, [order], [report_to, *([] if output is None else [output])])
        answer: asyncio.Future[ForkedProcess] = asyncio.get_running_loop().create_future()
        self._orders.append(answer)
        return await answer

    def _hear(self, control: socket.socket) -> None:
        try:
            packet = control.recv(LONGEST_PACKET)
        except OSError:
            packet = b""
        match decode(packet):
            case Forked(pid):
                self._workers[pid] = worker = ForkedProcess(pid)
                self._orders.popleft().set_result(worker)
            case NotForked(reason):
                self._orders.popleft().set_exception(OSError(reason))
            case Ended(pid, code):
                self._workers.pop(pid).has_ended(code)
            case Ready() | Unfit() as state:
                self.is_unfit = isinstance(state, Unfit)
                self._settled.set()
            case Refused() as refused:
                self._refusal = refused.as_error()
            case _:
                self._lost(control)

    def _lost(self, control: socket.socket) -> None:
        """The process has ended, and its workers are killed with it."""
        asyncio.get_running_loop().remove_reader(control)
        control.close()
        self._control = None
        self._gone.set()
        if not self.is_unfit:
            self._settled.clear()
        for worker in self._workers.values():
            worker.has_ended(-signal.SIGKILL)
        self._workers.clear()
        while self._orders:
            self._orders.popleft().set_exception(BrokenPipeError("the process that forks it has ended"))
