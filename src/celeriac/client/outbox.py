"""Sends jobs that are enqueued at the same time to the broker together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence

from celeriac.core.background import background
from celeriac.store.jobs.enqueueing import Accepted, NewJob
from celeriac.store.redis.connection import deadline

#: Limits of one call of the script, so that the server soon serves others again.
BATCH_JOBS = 250
BATCH_BYTES = 1_000_000
#: Sends jobs of one queue, of which the broker accepts all or none, within its own deadline.
Send = Callable[[Sequence[NewJob]], Awaitable[Accepted]]
Waiting = tuple[NewJob, asyncio.Future[Accepted]]


def batches(jobs: Iterable[NewJob]) -> Generator[list[NewJob]]:
    """Split `jobs` into batches, each as large as one call of the script accepts."""
    batch: list[NewJob] = []
    size = 0
    for job in jobs:
        length = len(job.message) + len(job.arguments)
        if batch and (len(batch) == BATCH_JOBS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(job)
        size += length
    if batch:
        yield batch


class Outbox:
    """A sender of jobs for one event loop. It sends a job at once if a way is free, else with all others that wait.

    So a single job waits for no other, and a hundred at a time take one call more than there are ways.
    """

    def __init__(self, ways: Iterable[Send], timeout: float) -> None:
        """Each of `ways` carries one call at a time. No caller waits for one longer than `timeout` seconds."""
        self._free = list(ways)
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        # Send each queue separately: a fault of a queue is an error for all jobs that are sent together.
        self._waiting: dict[str, list[Waiting]] = {}

    async def put(self, job: NewJob) -> Accepted:
        """Return when the broker has accepted `job`. If the caller gives up while `job` waits, it is not sent.

        Raises:
            BrokerUnavailable: the broker did not confirm in time.
        """
        if self._free:
            send = self._free.pop()
            try:
                return await send([job])
            finally:
                self._give_back(send)
        accepted: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job.kind.queue, []).append((job, accepted))
        async with deadline(self._timeout):
            await accepted
        return accepted.result()

    async def aclose(self) -> None:
        """Wait for the calls under way for which no caller waits any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _give_back(self, send: Send) -> None:
        """Use a free way to send the jobs that have come meanwhile."""
        self._free.append(send)
        while self._waiting and self._free:
            queue = next(iter(self._waiting))
            waiting = [(job, accepted) for job, accepted in self._waiting.pop(queue) if not accepted.done()]
            if not waiting:
                continue
            count = len(next(batches(job for job, _ in waiting)))
            if waiting[count:]:
                self._waiting[queue] = waiting[count:]  # behind the other queues
            task = background(self._send_together(self._free.pop(), waiting[:count]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_together(self, send: Send, waiting: Sequence[Waiting]) -> None:
        """Send jobs in a separate task, since a caller may be cancelled while the others still wait."""
        try:
            reply = await send([job for job, _ in waiting])
        except Exception as error:
            for accepted in _open(waiting):
                accepted.set_exception(error)
        else:
            for accepted in _open(waiting):
                accepted.set_result(reply)
        finally:
            self._give_back(send)


def _open(waiting: Sequence[Waiting]) -> list[asyncio.Future[Accepted]]:
    """Return the futures whose callers have not given up meanwhile."""
    return [accepted for _, accepted in waiting if not accepted.done()]
