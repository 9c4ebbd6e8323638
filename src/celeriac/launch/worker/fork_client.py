"""The parent's side of the fork server (`engine/start/fork_server.py`), which forks shards.

A supervisor keeps the server running as one more child.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import deque
from collections.abc import Mapping, Sequence

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
from celeriac.launch.worker.forked_process import ForkedProcess
from celeriac.settings import Settings


class ForkClient(Probe):
    """A client that orders forks of one application, and starts the server again when it has ended.

    Attributes:
        is_unfit: whether the application cannot be forked, so that the server has ended.
    """

    def __init__(self, settings: Settings, variables: Mapping[str, str]) -> None:
        self._settings = settings
        self._variables = variables
        self._settled = asyncio.Event()
        self._control: socket.socket | None = None
        self._orders: deque[asyncio.Future[ForkedProcess]] = deque()  # in the order of the answers
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
        """Fork a worker, as `Forker.fork` says."""
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
                self._workers[pid] = worker = ForkedProcess(pid, asyncio.get_running_loop())
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
        """Clean up after the server, which has ended. The kernel kills its workers with it."""
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
