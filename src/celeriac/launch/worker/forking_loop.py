"""An event loop that forks: between two of its turns, when it does not run.

`celeriac worker` runs its supervisor on one, so that the process that supervises shards is also the one that they are
forked from. A fork needs a process with one thread, and without a running loop. The fork gets the supervisor's
descriptors and tasks with the rest of the memory, and must never use them, nor close or finish them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from celeriac.engine.start.preloading import STOPPING, become_worker, open_descriptors
from celeriac.launch.worker.forked_process import ForkedProcess


@dataclass(frozen=True, slots=True)
class ForkedWorker:
    """What a fork has to do: its command line's arguments, and the descriptor of its report."""

    report_to: int
    arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Order:
    worker: ForkedWorker
    output: int | None
    answer: asyncio.Future[ForkedProcess]


class ForkingLoop:
    """Runs one coroutine, which can have this process forked meanwhile. Make it before anything opens descriptors."""

    is_unfit = False

    def __init__(self) -> None:
        self._shared = open_descriptors()
        self._loop = asyncio.SelectorEventLoop()  # whatever the application has made the policy
        self._orders: deque[_Order] = deque()
        self._look_up_names_in(ThreadPoolExecutor(1))

    def run(self, main: Coroutine[Any, Any, None]) -> ForkedWorker | None:
        """Run `main` to its end, and return None; or return in a fork, with what that has to do.

        The stack of a fork is that of the caller. It must not come back here.
        """
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
        """As `Forker.fork`. To be called on this loop."""
        answer: asyncio.Future[ForkedProcess] = self._loop.create_future()
        self._orders.append(_Order(ForkedWorker(report_to, arguments), output, answer))
        self._loop.stop()
        return await answer

    def _is_fork(self, order: _Order) -> bool:
        """Fork, answer the order, and return False; in the fork, make it a worker, and return True."""
        self._end_threads()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # one that comes early waits until the worker can take it
        try:
            pid = os.fork()
            if pid == 0:
                self._abandon(order)
                become_worker(parent, () if order.output is None else (order.output,))
                return True
        except OSError as error:
            order.answer.set_exception(error)
        else:
            with contextlib.suppress(OSError):  # here, too: the group is there when anyone needs it
                os.setpgid(pid, pid)
            order.answer.set_result(self._watched(pid))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return False

    def _watched(self, pid: int) -> ForkedProcess:
        """The process, whose end the loop notices."""
        process, descriptor = ForkedProcess(pid, self._loop), os.pidfd_open(pid)

        def reap() -> None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            process.has_ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        self._loop.add_reader(descriptor, reap)
        return process

    def _abandon(self, order: _Order) -> None:
        """In the fork: keep all that the supervisor has for ever, and let go of its descriptors.

        A task that is dropped runs its `finally` clauses, and those of the supervisor kill its children. The numbers of
        its descriptors stay in use: an object that closes one later closes none of the worker's own.
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
        """Wait until no name is looked up, the one thing that the supervisor needs a thread for."""
        with self._names:  # whose end waits for its thread
            self._look_up_names_in(ThreadPoolExecutor(1))

    def _look_up_names_in(self, executor: ThreadPoolExecutor) -> None:
        self._names = executor
        self._loop.set_default_executor(executor)

    async def _end(self) -> None:
        """End what the coroutine has left behind, as `asyncio.run` does."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
