"""An event loop that forks its process while it is paused.

`celeriac worker` runs its supervisor on such a loop, so that one process supervises shards and forks them. A fork needs
a process with one thread, and without a running loop. The fork inherits the supervisor's descriptors and tasks with the
rest of the memory. It must never use, close or finish them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeriac.engine.start.preloading import STOPPING, become_worker, flush_output, open_descriptors
from celeriac.launch.worker.forked_process import ForkedProcess


@dataclass(frozen=True, slots=True)
class ForkedWorker:
    """The work of a fork: the arguments of its command line, and the descriptor on which it reports."""

    report_to: int
    arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Order:
    worker: ForkedWorker
    output: int | None
    answer: asyncio.Future[ForkedProcess]


class ForkingLoop:
    """An event loop for one coroutine, which can order forks of this process. Make it before opening descriptors."""

    is_unfit = False

    def __init__(self) -> None:
        self._shared = open_descriptors()
        self._loop = asyncio.SelectorEventLoop()  # even if the application has set another policy
        self._orders: deque[_Order] = deque()
        self._watching: set[int] = set()  # pids of forks that have not been reaped
        self._look_up_names_in(ThreadPoolExecutor(1))

    def run(self, main: Coroutine[Any, Any, None]) -> ForkedWorker | None:
        """Run `main` to its end, and return None. In a fork, return the fork's work.

        A fork continues with the stack of the caller. It must not call this again.
        """
        # Also because while it is ignored, the kernel keeps no exit code.
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap_orphans)
        task = self._loop.create_task(main)
        task.add_done_callback(lambda _: self._loop.stop())
        while not task.done():
            self._loop.run_forever()
            while self._orders:
                order = self._orders.popleft()
                if not order.answer.cancelled() and self._is_fork(order):
                    return order.worker
        self._loop.run_until_complete(self._end())
        self._loop.close()
        task.result()
        return None

    async def fork(self, arguments: Sequence[str], report_to: int, output: int | None) -> ForkedProcess:
        """Fork a worker, as `Forker.fork` says. Call it on this loop."""
        answer: asyncio.Future[ForkedProcess] = self._loop.create_future()
        self._orders.append(_Order(ForkedWorker(report_to, arguments), output, answer))
        self._loop.stop()
        return await answer

    def _is_fork(self, order: _Order) -> bool:
        """Fork, answer the order, and return False. In the fork, become a worker, and return True."""
        self._end_threads()
        flush_output()
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # an early signal waits until the worker can handle it
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(order, parent)
                return True
            order.answer.set_result(self._watched(pid))
        except OSError as error:
            order.answer.set_exception(error)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return False

    def _watched(self, pid: int) -> ForkedProcess:
        """Make the process object, and have the loop notice the end of the process.

        Raises:
            OSError: that is impossible now. The process has been killed.
        """
        with contextlib.suppress(OSError):  # both sides do this, so that the group exists when either needs it
            os.setpgid(pid, pid)
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        process = ForkedProcess(pid, self._loop)
        self._watching.add(pid)

        def reap() -> None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            self._watching.remove(pid)
            process.has_ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        self._loop.add_reader(descriptor, reap)
        return process

    def _reap_orphans(self) -> None:
        """Reap ended processes that this one has not forked.

        The kernel hands those of a killed shard to the first process of a container, which is often this one.
        """
        with contextlib.suppress(OSError):  # without this file they stay until this process ends
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            for pid in {int(child) for child in children.split()} - self._watching:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _become_worker(self, order: _Order, parent: int) -> None:
        """Make this fork a worker. End it if that fails: it would go on as a second supervisor of the same shards."""
        try:
            self._abandon(order)
            become_worker(parent, () if order.output is None else (order.output,))
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"a forked process cannot become a worker: {error}\n".encode())
            os._exit(1)

    def _abandon(self, order: _Order) -> None:
        """In the fork, keep all objects of the supervisor alive for ever, and release its descriptors.

        A task that is collected runs its `finally` clauses, and those of the supervisor kill its children. The numbers
        of the descriptors stay in use, so that an object that closes one later does not close one of the worker's own.
        """
        for kept in (self, order, *asyncio.all_tasks(self._loop)):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        gc.freeze()
        own = {order.worker.report_to, order.output}
        supervisors = open_descriptors() - self._shared - own
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in supervisors:
            os.dup2(nothing, descriptor, inheritable=False)
        os.dup2(nothing, 0)  # as every child has it
        os.close(nothing)

    def _end_threads(self) -> None:
        """Wait for lookups of host names, for which alone the supervisor needs a thread."""
        with self._names:  # its end waits for its thread
            self._look_up_names_in(ThreadPoolExecutor(1))

    def _look_up_names_in(self, executor: ThreadPoolExecutor) -> None:
        self._names = executor
        self._loop.set_default_executor(executor)

    async def _end(self) -> None:
        """End the tasks that the coroutine has left behind, as `asyncio.run` does."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
