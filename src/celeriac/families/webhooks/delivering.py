"""Tries one delivery, writes down what came of it, and decides what follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from celeriac.core.context import JobContext
from celeriac.core.errors import RetryAfter, RunLater
from celeriac.database.engine import Database
from celeriac.families.webhooks.deliveries import Deliveries
from celeriac.families.webhooks.emitting import Emitter
from celeriac.families.webhooks.errors import TargetRefused, UrlInvalid
from celeriac.families.webhooks.lanes import Busy
from celeriac.families.webhooks.loaded import Loaded
from celeriac.families.webhooks.model import DeliveryState
from celeriac.families.webhooks.outcomes import Failure, Reply
from celeriac.families.webhooks.recording import Result
from celeriac.families.webhooks.refusals import DeliveryFailed
from celeriac.families.webhooks.runtime import Runtime, Runtimes
from celeriac.families.webhooks.schedule import delay_after
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.families.webhooks.signing import sign
from celeriac.families.webhooks.verdicts import Verdict, judge

#: How long a delivery waits for its turn, at the most, before it looks again.
_TURN_S = 5.0
_UNSUCCESSFUL = (DeliveryState.EXHAUSTED, DeliveryState.REFUSED, DeliveryState.ABORTED)


class Delivering:
    """What the job of a delivery does."""

    def __init__(
        self, runtimes: Runtimes, database: Callable[[], Database], emitter: Emitter, settings: WebhookSettings
    ) -> None:
        self._runtimes = runtimes
        self._database = database
        self._emitter = emitter
        self._settings = settings

    async def run(self, job: JobContext, delivery_id: str) -> str:
        """Try a delivery. Return how it has ended.

        Raises:
            RetryAfter: another try follows.
            RunLater: its endpoint takes nothing for now. This was no try.
            DeliveryFailed: none follows, and it was not delivered.
        """
        try:
            return await self._run(job, delivery_id)
        except asyncio.CancelledError:
            if job.cancel_requested():  # else the worker ends, and another one tries again
                await self.abort(job.id)
            raise

    async def abort(self, job_id: str) -> None:
        """End the delivery of a job that was cancelled, so that those behind it have their turn."""
        endpoint_id = await Deliveries(self._database()).abort_job(job_id)
        if endpoint_id is not None:
            await self._emitter.advance([endpoint_id])

    async def _run(self, job: JobContext, delivery_id: str) -> str:
        runtime = self._runtimes.here()
        loaded = await runtime.load(delivery_id)
        if loaded is not None and _is_retried_by_hand(job, loaded):
            await Deliveries(self._database()).reopen(delivery_id)
            loaded = await runtime.load(delivery_id)
        if loaded is None:
            return "deleted"
        if loaded.delivery.job_id != job.id:
            return "replayed"
        if loaded.delivery.state is not DeliveryState.PENDING:
            return await self._end(loaded, loaded.delivery.state, loaded.delivery.error)
        result = await self._deliver(runtime, loaded)
        if result is None:  # its endpoint was changed while it waited
            return await self._run(job, delivery_id)
        if result.state is DeliveryState.PENDING:
            raise RetryAfter(result.delay_ms / 1000, result.error or "")
        return await self._end(loaded, result.state, result.error)

    async def _end(self, loaded: Loaded, state: DeliveryState, error: str | None) -> str:
        if loaded.endpoint.fifo:
            await self._emitter.advance([loaded.endpoint.id])
        if state in _UNSUCCESSFUL:
            raise DeliveryFailed(f"{state}: {error}")
        return str(state)

    async def _deliver(self, runtime: Runtime, loaded: Loaded) -> Result | None:
        """Try a delivery that is open, write down what came of it, and return that. None: it has to be loaded again."""
        endpoint = loaded.endpoint
        if not endpoint.enabled:  # its job was retried by hand, or it was disabled while the event was being stored
            return await _recorded(runtime, _untried(loaded, DeliveryState.HELD, "its endpoint is disabled"))
        if not loaded.has_turn:
            raise _later(runtime, loaded, _TURN_S, "an earlier event of its endpoint is open")
        wait_ms = (endpoint.open_until or 0) - loaded.now
        if wait_ms > 0:
            raise _later(runtime, loaded, wait_ms / 1000, "its endpoint fails, and is left alone for a while")
        is_alone = endpoint.fifo or endpoint.open_until
        concurrency = 1 if is_alone else endpoint.concurrency or self._settings.webhook_concurrency
        try:
            async with runtime.lanes.slot(endpoint.id, concurrency=concurrency, rate=endpoint.rate) as has_waited:
                if has_waited and not await runtime.is_current(loaded):
                    return None
                result = await self._try(runtime, loaded)
        except Busy as busy:
            raise _later(runtime, loaded, busy.seconds, busy.why) from None
        return await _recorded(runtime, result)

    async def _try(self, runtime: Runtime, loaded: Loaded) -> Result:
        endpoint, event, at = loaded.endpoint, loaded.event, time.time()
        headers = {"content-type": "application/json", **endpoint.headers}
        headers |= sign(event.id, int(at), event.body, endpoint.live_secrets(int(1000 * at)))
        try:
            target = runtime.guard.parse(endpoint.url)
            outcome = await (await runtime.poster()).post(target, headers, event.body)
        except (TargetRefused, UrlInvalid) as refusal:  # the rules were stricter now than when it was stored
            return _untried(loaded, DeliveryState.REFUSED, str(refusal))
        return self._result(loaded, outcome)

    def _result(self, loaded: Loaded, outcome: Reply | Failure) -> Result:
        verdict = judge(outcome)
        state, delay = self._next(verdict, loaded)
        reply = outcome if isinstance(outcome, Reply) else None
        return Result(
            loaded=loaded,
            state=state,
            delay_ms=round(1000 * delay),
            status=reply.status if reply else None,
            error=None if state is DeliveryState.DELIVERED else verdict.why,
            milliseconds=outcome.milliseconds,
            headers=dict(reply.headers) if reply else None,
            excerpt=reply.body if reply else None,
            disables=verdict.why if verdict.disables else None,
        )

    def _next(self, verdict: Verdict, loaded: Loaded) -> tuple[DeliveryState, float]:
        """Return the delivery's next state, and the seconds until its next try, if there is one."""
        match verdict.kind:
            case "delivered":
                return DeliveryState.DELIVERED, 0
            case "aborted":
                return DeliveryState.ABORTED, 0
            case "gone":
                return DeliveryState.HELD, 0
            case _:
                tries = loaded.delivery.tries + 1
                delay = delay_after(tries, self._settings.webhook_schedule, asked=verdict.after)
                return (DeliveryState.EXHAUSTED, 0) if delay is None else (DeliveryState.PENDING, delay)


def _untried(loaded: Loaded, state: DeliveryState, why: str) -> Result:
    return Result(loaded=loaded, state=state, counts=False, error=why)


async def _recorded(runtime: Runtime, result: Result) -> Result:
    await runtime.record(result)
    return result


def _later(runtime: Runtime, loaded: Loaded, seconds: float, why: str) -> RunLater:
    """Have the job come back when the endpoint may take the delivery. That is no try."""
    return RunLater(runtime.turnstile.after(loaded.endpoint.id, seconds), why)


def _is_retried_by_hand(job: JobContext, loaded: Loaded) -> bool:
    """Whether somebody has retried the job of a delivery that had ended: the job's attempts count from 1 again.

    A job whose worker was killed right after its only try also begins again. It is delivered to us as such.
    """
    ended = loaded.delivery.state in (DeliveryState.EXHAUSTED, DeliveryState.ABORTED)
    is_its_own = loaded.delivery.tries > 0 and loaded.delivery.job_id == job.id
    return job.attempt == 1 and not job.redelivered and ended and is_its_own
