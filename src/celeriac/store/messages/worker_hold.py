"""What one worker process holds, for code without an event loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from celeriac.store import keys
from celeriac.store.jobs.transitions import Transition
from celeriac.store.messages import dead_letters, deliveries, revocations, scheduled, worker_leases
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.runner import run_blocking


class WorkerHold:
    """Acts for the worker named `worker`. Its methods raise redis-py's errors, which Celery knows how to outlast."""

    def __init__(self, client: BlockingClient, worker: str, *, lease: float) -> None:
        self.worker = worker
        self.lease_ms = int(lease * 1000)
        self._client = client

    def acknowledge(self, receipt: str) -> bool:
        """Be done with a message; False if it was given to another worker meanwhile."""
        return bool(self._commands().hdel(keys.held(self.worker), receipt))

    def put_back(self, receipt: str, place: deliveries.Place, *, lost: bool = False) -> bool:
        """Give a message back to its queue; False if it was given to another worker meanwhile."""
        return run_blocking(self._client, deliveries.put_back(self.worker, receipt, place, lost=lost))

    def put_off(self, receipt: str, queue: str, due_ms: int, *, limited: str = "") -> bool:
        """Give a message back, to be taken again when it is due; `limited` names a task that is over its rate limit."""
        return run_blocking(self._client, deliveries.put_off(self.worker, receipt, queue, due_ms, limited=limited))

    def recall(self, queue: str, task: str) -> None:
        """Have what a task's rate limit has put off be due now."""
        part = run_blocking(self._client, deliveries.recall(queue, task))
        while part[1]:
            part = run_blocking(self._client, deliveries.recall(queue, task, part))

    def give_up(self, receipt: str, cause: str, *, end: Transition | None = None) -> bool:
        """Make a dead letter of a message, and end its job; False if it was given to another worker meanwhile."""
        return run_blocking(self._client, dead_letters.give_up(self.worker, receipt, cause, end=end))

    def put_back_all_but(self, receipts: Collection[str]) -> int:
        """Give back whatever is held and not among `receipts`; replies how much that was."""
        held = [raw.decode() for raw in self._commands().hkeys(keys.held(self.worker))]
        # The newest first, so that the oldest ends as the first of its queue.
        lost = sorted(set(held) - set(receipts), key=lambda receipt: int(receipt.rpartition("/")[2]), reverse=True)
        return sum(self.put_back(receipt, "first") for receipt in lost)

    def renew(self) -> bool:
        """Renew the lease; False if it had run out, and what was held was given to others."""
        return run_blocking(self._client, worker_leases.renew(self.worker, self.lease_ms))

    def workers(self) -> list[str]:
        """All workers that have a lease."""
        return [raw.decode() for raw in self._commands().zrange(keys.LEASES, 0, -1)]

    def reclaim(self, ended: Collection[str]) -> dict[str, int]:
        """Bring back what vanished workers held; replies how many messages, by worker."""
        return run_blocking(self._client, worker_leases.reclaim(sorted(ended), lease_ms=self.lease_ms))

    def remember_revoked(self, task_ids: Collection[str], *, most: int) -> None:
        """Remember that these tasks have been revoked; of all that are remembered, the newest `most` are kept."""
        run_blocking(self._client, revocations.remember(task_ids, most=most))

    def revoked(self) -> list[str]:
        """The tasks that have been revoked, as far as that is remembered; the newest last."""
        return [raw.decode() for raw in self._commands().zrange(keys.REVOKED, 0, -1)]

    def scheduled(self, queues: Sequence[str], *, count: int) -> list[tuple[int, bytes]]:
        """The next `count` messages of these queues that wait for their time, with that (ms since the epoch)."""
        return run_blocking(self._client, scheduled.look(queues, count=count))

    def release(self) -> None:
        """Give back all that is held, and the lease: the worker ends."""
        run_blocking(self._client, worker_leases.reclaim(leaving=self.worker))

    def _commands(self) -> Any:
        return cast(Any, self._client)  # redis-py's types are unions over every protocol and decoding option
