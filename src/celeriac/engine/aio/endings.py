"""Gathers the outcomes of jobs that end, and writes them in batches together with the acknowledgements."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from kombu.utils.encoding import safe_repr

from celeriac.core.batcher import Batcher
from celeriac.core.errors import OutcomeNotStored
from celeriac.core.records import Failure
from celeriac.core.states import JobState
from celeriac.engine import bridge
from celeriac.engine.aio.beginnings import Beginnings
from celeriac.store.jobs import payloads
from celeriac.store.jobs.beginnings import Beginning, Permit
from celeriac.store.jobs.transitions import Transition
from celeriac.store.messages.dead_letters import give_up
from celeriac.store.messages.deliveries import Ending, Place, PlainResult, Success, finish, put_back, put_off, succeed
from celeriac.store.messages.postponing import postpone
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.pipeline import Pipeline
from celeriac.store.redis.runner import run_blocking
from celeriac.store.scripts.script import ScriptCall

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: The permit of a job that began with its taking.
_FIRST_RUN = Permit("run", run=1)
#: The most endings in one script call, during which the server can do nothing else.
_BATCH = 250
_TOO_LATE = "message %s was acknowledged too late: another worker has it now, and runs its task again"


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that this worker holds, while its task runs.

    Attributes:
        receipt: the name under which this worker holds the message.
        queue: the queue it came from.
        task_id: id of its task.
        pipeline: sends script calls for the task.
        beginnings: asks for the job's permit to run.
        ending: collects what is written with the acknowledgement.
        before: script calls that are sent right before the acknowledgement.
        is_open: whether the end of the message is still to be decided.
        is_running: whether the task's function runs now. What it stores itself is written at once, not with the end.
        abandon: stops the task without recording anything.
        has_begun: whether its job began with its taking, and does not run yet.
        may_run: whether such a job may run without another look at its record, as nothing was waited for since.
        began_at_once: whether such a job has been run without another look. Then nothing but this run has changed it.
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
    has_begun: bool = False
    may_run: bool = False
    began_at_once: bool = False

    def __post_init__(self) -> None:
        self.ending = Ending(self.receipt)
        self.may_run = self.has_begun

    async def permit(self, beginning: Callable[[], Beginning]) -> Permit:
        """Return the job's permit to run. Ask for it, unless it was given with the taking."""
        self.began_at_once, self.has_begun = self.may_run, False
        return _FIRST_RUN if self.began_at_once else await self.beginnings.ask(beginning())

    @property
    def success(self) -> Success | None:
        """The end in the form for `succeed`, if it is nothing but the success of a run that began at once."""
        end = self.ending.end
        if not self.began_at_once or self.before or self.ending.publications or not isinstance(end, Transition):
            return None
        is_success = end.state is JobState.SUCCEEDED
        return Success(self.receipt, end.job_id, end.outcome, end.retention_ms) if is_success else None


#: The delivery whose task runs in this context.
current: ContextVar[Delivery | None] = ContextVar("celeriac_delivery", default=None)


def to_be_written(task_id: str = "") -> Delivery | None:
    """The current delivery, if the caller may add to its ending. Else None, and the caller writes at once.

    Celery's code around a task may. The task's own function may only for its own id, which is a retry.
    """
    delivery = current.get()
    if delivery is None or not delivery.is_open:
        return None
    return delivery if bridge.can_wait() or task_id == delivery.task_id else None


def run(client: Callable[[], BlockingClient], call: ScriptCall[T]) -> T:
    """Run `call` for the current task: over its pipeline if the caller can wait on the loop, else with `client`."""
    delivery = current.get()
    if delivery is not None and bridge.can_wait():
        return bridge.wait(delivery.pipeline.run(call))
    return run_blocking(client(), call)


class Endings:
    """Writes the ends of deliveries, one batch at a time. What ends during a batch goes into the next.

    The worker counts a delivery as held until the server has confirmed its end.
    """

    def __init__(self, pipeline: Pipeline, worker: str, on_ended: Callable[[str], None]) -> None:
        self._pipeline = pipeline
        self._worker = worker
        self._on_ended = on_ended
        self._ended = Batcher(self._write, most=_BATCH, name="celeriac-endings")

    def finish(self, delivery: Delivery) -> None:
        """Acknowledge a message, and store its outcome in the same step."""
        delivery.is_open = False
        self._ended.put(delivery)

    def give_back(self, delivery: Delivery, place: Place, *, lost: bool = False) -> None:
        """Give a message back to its queue. Write what its task recorded so far, such as a failure that runs again."""
        for call in delivery.before:
            self._pipeline.submit(call)
        ending = delivery.ending
        if ending.end is None and not ending.publications:
            receipt, has_begun = delivery.receipt, delivery.has_begun
            self._give(delivery, put_back(self._worker, receipt, place, lost=lost, has_begun=has_begun))
        else:
            self._give(delivery, finish(self._worker, [ending], losses=int(lost)))

    def put_off(self, delivery: Delivery, due_ms: int, *, limited: str = "") -> None:
        """Give a message back until it is due. `limited` names the task if that is over its rate limit."""
        receipt, queue, has_begun = delivery.receipt, delivery.queue, delivery.has_begun
        self._give(delivery, put_off(self._worker, receipt, queue, due_ms, limited=limited, has_begun=has_begun))

    def run_later(self, delivery: Delivery, seconds: float, reason: Failure) -> None:
        """Give back the message of a job that runs, and record that it waits."""
        receipt, queue = delivery.receipt, delivery.queue
        self._give(delivery, postpone(self._worker, receipt, queue, delivery.task_id, seconds=seconds, reason=reason))

    async def written(self) -> None:
        """Wait until everything is written."""
        await self._ended.idle()
        await self._pipeline.idle()

    def _give(self, delivery: Delivery, call: ScriptCall[Any]) -> None:
        delivery.is_open = False
        self._pipeline.submit(call).add_done_callback(lambda _: self._on_ended(delivery.receipt))

    async def _write(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            for call in delivery.before:
                self._pipeline.submit(call)
        # One after the other: what the first script has written must not be written again for a fault of the second.
        successes = {delivery: success for delivery in batch if (success := delivery.success) is not None}
        if successes:
            await self._write_all([*successes], succeed(self._worker, [*successes.values()]))
        others = [delivery for delivery in batch if delivery not in successes]
        if others:
            await self._write_all(others, finish(self._worker, [delivery.ending for delivery in others]))
        for delivery in batch:
            self._on_ended(delivery.receipt)

    async def _write_all(self, batch: Sequence[Delivery], call: ScriptCall[dict[str, str]]) -> None:
        try:
            await self._finish(batch, call)
        except Exception:  # one ending is at fault: write each alone, so that only that one fails
            for delivery in batch:
                await self._finish_alone(delivery)

    async def _finish(self, batch: Sequence[Delivery], call: ScriptCall[dict[str, str]]) -> None:
        refused = await self._pipeline.run(call)
        for delivery in batch if refused else ():
            reason = refused.get(delivery.ending.receipt)
            if reason:
                await self._give_up(delivery, f"its outcome cannot be written: {reason}")
            elif reason is not None:
                log.warning(_TOO_LATE, delivery.receipt)

    async def _finish_alone(self, delivery: Delivery) -> None:
        try:
            await self._finish([delivery], finish(self._worker, [delivery.ending]))
        except Exception as error:
            await self._give_up(delivery, f"its outcome cannot be written: {safe_repr(error)}")

    async def _give_up(self, delivery: Delivery, cause: str) -> None:
        """Make a dead letter of a message whose end cannot be written, and record its task as failed.

        If even that fails, the message stays in this worker's hold. After the worker has ended, another one takes it.
        """
        receipt = delivery.receipt
        try:
            is_kept = await self._give_up_with_end(delivery, cause)
        except Exception:
            log.exception(
                "message %s stays with this worker (%s), and runs again after the worker ends", receipt, cause
            )
            return
        if is_kept:
            log.error("message %s is a dead letter now (%s); see `celeriac dead`", receipt, cause)
        else:
            log.error("another worker has message %s now: %s", receipt, cause)

    async def _give_up_with_end(self, delivery: Delivery, cause: str) -> bool:
        try:
            call = give_up(self._worker, delivery.receipt, cause, end=_failed(delivery, cause))
            return await self._pipeline.run(call)
        except Exception:  # even the failure cannot be written: make the dead letter without an end
            return await self._pipeline.run(give_up(self._worker, delivery.receipt, cause))


def _failed(delivery: Delivery, cause: str) -> Transition | PlainResult | None:
    """The failure that replaces an outcome that cannot be written. None if there was no outcome."""
    end, error = delivery.ending.end, Failure(OutcomeNotStored.__name__, cause)
    if end is None:
        return None
    outcome = payloads.failed_outcome(delivery.task_id, error)
    if isinstance(end, PlainResult):
        return replace(end, outcome=outcome)
    return replace(end, state=JobState.FAILED, error=error, outcome=outcome if end.outcome else b"")
