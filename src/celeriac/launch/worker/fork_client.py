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
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from celeriac.core.collector import freeze, paused
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
from celeriac.settings import Settings, set_variables


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
        """Set the exit code. Call it once."""
        self._code.set_result(code)


@dataclass(frozen=True, slots=True)
class ForkedAhead:
    """A fork server that this process has forked before its event loop ran."""

    pid: int
    control: socket.socket

    def watched(self) -> ForkedProcess:
        """The process, whose end the running event loop notices."""
        loop, process = asyncio.get_running_loop(), ForkedProcess(self.pid)
        descriptor = os.pidfd_open(self.pid)

        def reap() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            process.has_ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))

        loop.add_reader(descriptor, reap)
        return process


def fork_ahead(settings: Settings, variables: Mapping[str, str]) -> ForkedAhead | None:
    """Fork the first fork server from this process: it need not import again what both use, and shares that memory.

    Celery and the application are imported in the fork alone. To be called before there is an event loop or a thread.
    Returns None where a forked child cannot be watched.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # an old kernel, or a sandbox
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    freeze()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    with contextlib.suppress(OSError):  # on both sides: the group is there as soon as either needs it
        os.setpgid(pid, pid)
    if pid == 0:
        ours.close()
        _read_nothing()
        set_variables(variables)
        _serve(settings.app, theirs, parent)
    theirs.close()
    ours.setblocking(False)
    return ForkedAhead(pid, ours)


def _serve(address: str, control: socket.socket, parent: int) -> NoReturn:
    with paused():
        from celeriac.engine.process_hooks import die_with
        from celeriac.engine.start import fork_server

    die_with(parent)
    fork_server.run(address, control)
    sys.exit()


def _read_nothing() -> None:
    """Have standard input at its end, as every child has it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


class ForkClient(Probe):
    """Has a fork server fork processes of one application, and starts the server again when it has ended.

    Attributes:
        is_unfit: the application cannot be forked, and has ended the process.
    """

    def __init__(self, settings: Settings, variables: Mapping[str, str], ahead: ForkedAhead | None = None) -> None:
        self._settings = settings
        self._ahead = ahead
        self._variables = variables
        self._settled = asyncio.Event()
        self._control: socket.socket | None = None
        self._orders: deque[asyncio.Future[ForkedProcess]] = deque()  # in which answers come
        self._workers: dict[int, ForkedProcess] = {}
        self._refusal: StartRefused | None = None
        self._gone = asyncio.Event()
        self.is_unfit = False

    async def spawn(self, output: int | None) -> Running:
        """Start the process, or take the one that was forked ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._listen(ahead.control)
            return ahead.watched()
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
        self._listen(ours)
        return process

    def _listen(self, control: socket.socket) -> None:
        self._control = control
        self._refusal = None
        self._gone.clear()
        asyncio.get_running_loop().add_reader(control, self._hear, control)

    async def ready(self) -> bool:
        return self._settled.is_set()

    async def refusal(self) -> StartRefused | None:
        await self._gone.wait()
        return self._refusal

    async def settled(self) -> None:
        """Wait until the server forks, or `is_unfit`."""
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
        """The server has ended, and the kernel kills its workers with it."""
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
