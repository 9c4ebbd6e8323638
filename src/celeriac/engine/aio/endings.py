"""What comes of the jobs that end, gathered and written together."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from kombu.utils.encoding import safe_repr

from celeriac.core.background import background
from celeriac.core.errors import OutcomeNotStored
from celeriac.core.records import Failure
from celeriac.core.states import JobState
from celeriac.engine import bridge
from celeriac.engine.aio.beginnings import Beginnings
from celeriac.store import payloads
from celeriac.store.connection import BlockingClient
from celeriac.store.dead_letters import give_up
from celeriac.store.deliveries import Ending, Place, Result, finish, put_back, put_off
from celeriac.store.jobs import Transition
from celeriac.store.pipeline import Pipeline
from celeriac.store.script import ScriptCall, run_blocking

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: Endings that are written in one step at most: the server does nothing else meanwhile.
_BATCH = 250
_TOO_LATE = "message %s was acknowledged too late: it had been given to another worker"


@dataclass(slots=True, eq=False)
class Delivery:
    """A message whose task is being run.

    Attributes:
        receipt: under which this worker holds it.
        queue: where it came from.
        task_id: of its task.
        pipeline: where calls for its task go.
        beginnings: where to ask whether its job may run.
        ending: what will be written when it is acknowledged.
        before: calls that run right before that.
        is_open: whether that is still to come.
        is_running: whether the function of its task is; what that stores itself does not wait for the end.
        abandon: stops what runs its task; nothing is recorded then.
    """

    receipt: str
    queue: str
    task_id: str
    pipeline: Pipeline
    beginnings: Beginnings
    ending: Ending = field(init=False)
    before: list[ScriptCall[Any]] = field(default_factory=list[ScriptCall[Any]])
    is_open: bool = True
    is_running: bool = False
    abandon: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.ending = Ending(self.receipt)


#: The delivery whose task is being run.
current: ContextVar[Delivery | None] = ContextVar("celeriac_delivery", default=None)


def to_be_written(task_id: str = "") -> Delivery | None:
    """The delivery to whose end something may be added: in what Celery does around a task, and for its own retry."""
    delivery = current.get()
    if delivery is None or not delivery.is_open:
        return None
    return delivery if bridge.can_wait() or task_id == delivery.task_id else None


def run(client: Callable[[], BlockingClient], call: ScriptCall[T]) -> T:
    """Run `call` for the current task: without blocking where the code that asks may wait, else with `client`."""
    delivery = current.get()
    if delivery is not None and bridge.can_wait():
        return bridge.wait(delivery.pipeline.run(call))
    return run_blocking(client(), call)


class Endings:
    """Writes the ends of deliveries: one batch at a time, and what ends meanwhile in the next.

    A delivery counts as held until the server has confirmed its end.
    """

    def __init__(self, pipeline: Pipeline, worker: str, on_ended: Callable[[str], None]) -> None:
        self._pipeline = pipeline
        self._worker = worker
        self._on_ended = on_ended
        self._waiting: deque[Delivery] = deque()
        self._writing: asyncio.Task[None] | None = None

    def finish(self, delivery: Delivery) -> None:
        """Store what came of a message, and acknowledge it."""
        delivery.is_open = False
        self._waiting.append(delivery)
        if self._writing is None:
            self._writing = background(self._write_all(), name="celeriac-endings")

    def give_back(self, delivery: Delivery, place: Place, *, lost: bool = False) -> None:
        """Give a message back to its queue. What came of it already is written: it may have failed, to be run again."""
        for call in delivery.before:
            self._pipeline.submit(call)
        ending = delivery.ending
        if ending.kept is None and not ending.publications:
            self._give(delivery, put_back(self._worker, delivery.receipt, place, lost=lost))
        else:
            self._give(delivery, finish(self._worker, [ending], losses=int(lost)))

    def put_off(self, delivery: Delivery, due_ms: int, *, limited: str = "") -> None:
        """Give a message back, to be taken again when it is due; `limited` names a task that is over its rate limit."""
        self._give(delivery, put_off(self._worker, delivery.receipt, delivery.queue, due_ms, limited=limited))

    async def written(self) -> None:
        """Wait until everything is written."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        await self._pipeline.idle()

    def _give(self, delivery: Delivery, call: ScriptCall[Any]) -> None:
        delivery.is_open = False
        self._pipeline.submit(call).add_done_callback(lambda _: self._on_ended(delivery.receipt))

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write([self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))])
        finally:
            self._writing = None

    async def _write(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            for call in delivery.before:
                self._pipeline.submit(call)
        try:
            await self._finish(batch)
        except Exception:  # one of them is at fault, and concerns no other
            for delivery in batch:
                await self._finish_alone(delivery)
        for delivery in batch:
            self._on_ended(delivery.receipt)

    async def _finish(self, batch: list[Delivery]) -> None:
        refused = await self._pipeline.run(finish(self._worker, [delivery.ending for delivery in batch]))
        for delivery in batch if refused else ():
            reason = refused.get(delivery.ending.receipt)
            if reason:
                await self._give_up(delivery, f"what came of it cannot be written: {reason}")
            elif reason is not None:
                log.warning(_TOO_LATE, delivery.receipt)

    async def _finish_alone(self, delivery: Delivery) -> None:
        try:
            await self._finish([delivery])
        except Exception as error:
            await self._give_up(delivery, f"what came of it cannot be written: {safe_repr(error)}")

    async def _give_up(self, delivery: Delivery, cause: str) -> None:
        """Make a dead letter of a message whose end cannot be written; in the same step its task ends, and has failed.

        If even that fails, the message stays in this worker's hold, and is brought back when the worker has ended.
        """
        receipt = delivery.receipt
        try:
            is_kept = await self._give_up_with_end(delivery, cause)
        except Exception:
            log.exception("message %s is held until this worker ends (%s), and then run again", receipt, cause)
            return
        if is_kept:
            log.error("message %s is a dead letter now (%s); see `celeriac dead`", receipt, cause)
        else:
            log.error("message %s is held no more: %s", receipt, cause)

    async def _give_up_with_end(self, delivery: Delivery, cause: str) -> bool:
        try:
            call = give_up(self._worker, delivery.receipt, cause, end=_failed(delivery, cause))
            return await self._pipeline.run(call)
        except Exception:  # the end is at fault, of which nothing can be written
            return await self._pipeline.run(give_up(self._worker, delivery.receipt, cause))


def _failed(delivery: Delivery, cause: str) -> Transition | Result | None:
    """How the task of a message ends, of which nothing else can be written."""
    kept, error = delivery.ending.kept, Failure(OutcomeNotStored.__name__, cause)
    if kept is None:
        return None
    outcome = payloads.failed_outcome(delivery.task_id, error)
    if isinstance(kept, Result):
        return replace(kept, outcome=outcome)
    return replace(kept, state=JobState.FAILED, error=error, outcome=outcome if kept.outcome else b"")
