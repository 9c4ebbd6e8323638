"""The messages that one worker process holds, for code without an event loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from celeriac.store import keys
from celeriac.store.jobs.transitions import Transition
from celeriac.store.messages import dead_letters, deliveries, revocations, scheduled, worker_leases
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.runner import run_blocking


class WorkerHold:
    """The hold of the worker named `worker`. Its methods raise redis-py's errors, which Celery can handle."""

    def __init__(self, client: BlockingClient, worker: str, *, lease: float) -> None:
        self.worker = worker
        self.lease_ms = int(lease * 1000)
        self._client = client

    def acknowledge(self, receipt: str) -> bool:
        """Acknowledge a message. Return False if another worker has got it meanwhile."""
        return bool(self._commands().hdel(keys.held(self.worker), receipt))

    def put_back(self, receipt: str, place: deliveries.Place, *, lost: bool = False) -> bool:
        """Give a message back to its queue. Return False if another worker has got it meanwhile."""
        return run_blocking(self._client, deliveries.put_back(self.worker, receipt, place, lost=lost))

    def put_off(self, receipt: str, queue: str, due_ms: int, *, limited: str = "") -> bool:
        """Give a message back until it is due. `limited` names a task that is over its rate limit."""
        return run_blocking(self._client, deliveries.put_off(self.worker, receipt, queue, due_ms, limited=limited))

    def recall(self, queue: str, task: str) -> None:
        """Make all messages due now that a task's rate limit has put off."""
        part = run_blocking(self._client, deliveries.recall(queue, task))
        while part[1]:
            part = run_blocking(self._client, deliveries.recall(queue, task, part))

    def give_up(self, receipt: str, cause: str, *, end: Transition | None = None) -> bool:
        """Make a dead letter of a message, and end its job. Return False if another worker has got it meanwhile."""
        return run_blocking(self._client, dead_letters.give_up(self.worker, receipt, cause, end=end))

    def put_back_all_but(self, receipts: Collection[str]) -> int:
        """Give back all held messages except those of `receipts`, and return their number."""
        held = [raw.decode() for raw in self._commands().hkeys(keys.held(self.worker))]
        # Give back the newest first, so that the oldest becomes the first of its queue.
        lost = sorted(set(held) - set(receipts), key=lambda receipt: int(receipt.rpartition("/")[2]), reverse=True)
        return sum(self.put_back(receipt, "first") for receipt in lost)

    def renew(self) -> bool:
        """Renew the lease. Return False if it had run out, and others have got the held messages."""
        return run_blocking(self._client, worker_leases.renew(self.worker, self.lease_ms))

    def workers(self) -> list[str]:
        """Return all workers that have a lease."""
        return [raw.decode() for raw in self._commands().zrange(keys.LEASES, 0, -1)]

    def reclaim(self, ended: Collection[str]) -> dict[str, int]:
        """Bring back the messages of vanished workers, and return their numbers by worker."""
        return run_blocking(self._client, worker_leases.reclaim(sorted(ended), lease_ms=self.lease_ms))

    def remember_revoked(self, task_ids: Collection[str], *, most: int) -> None:
        """Remember that these tasks are revoked. Keep only the newest `most` revocations."""
        run_blocking(self._client, revocations.remember(task_ids, most=most))

    def revoked(self) -> list[str]:
        """Return the remembered revoked tasks, the newest last."""
        return [raw.decode() for raw in self._commands().zrange(keys.REVOKED, 0, -1)]

    def scheduled(self, queues: Sequence[str], *, count: int) -> list[tuple[int, bytes]]:
        """Return the next `count` delayed messages of these queues, each with its due time (ms since the epoch)."""
        return run_blocking(self._client, scheduled.look(queues, count=count))

    def release(self) -> None:
        """Give back all messages and the lease, because the worker ends."""
        run_blocking(self._client, worker_leases.reclaim(leaving=self.worker))

    def _commands(self) -> Any:
        return cast(Any, self._client)  # redis-py's types are unions over every protocol and decoding option
