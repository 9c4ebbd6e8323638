"""Tries one delivery, and decides what follows."""

from __future__ import annotations

import asyncio
import time

from celeriac.core.context import JobContext
from celeriac.core.errors import RetryAfter, RunLater
from celeriac.families.webhooks.errors import TargetRefused
from celeriac.families.webhooks.lanes import Busy
from celeriac.families.webhooks.loaded import Loaded
from celeriac.families.webhooks.model import DeliveryState
from celeriac.families.webhooks.outcomes import Reply
from celeriac.families.webhooks.recording import Result
from celeriac.families.webhooks.refusals import DeliveryFailed
from celeriac.families.webhooks.runtime import Runtime
from celeriac.families.webhooks.schedule import delay_after
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.families.webhooks.signing import sign
from celeriac.families.webhooks.verdicts import Verdict, judge

#: How long a delivery waits for its turn, at the most, before it looks again.
_TURN_S = 5.0


async def deliver(job: JobContext, runtime: Runtime, settings: WebhookSettings, loaded: Loaded) -> Result:
    """Try a delivery that is open, write down what came of it, and return that.

    Raises:
        RunLater: its endpoint takes nothing for now.
    """
    endpoint = loaded.endpoint
    if not endpoint.enabled:  # its job was retried by hand, or it was disabled while the event was being stored
        held = Result(loaded=loaded, state=DeliveryState.HELD, counts=False, error="its endpoint is disabled")
        await runtime.record(held)
        return held
    if not loaded.has_turn:
        raise _later(runtime, loaded, _TURN_S, "an earlier event of its endpoint is open")
    wait_ms = (endpoint.open_until or 0) - loaded.now
    if wait_ms > 0:
        raise _later(runtime, loaded, wait_ms / 1000, "its endpoint fails, and is left alone for a while")
    concurrency = 1 if endpoint.fifo or endpoint.open_until else endpoint.concurrency or settings.webhook_concurrency
    try:
        async with runtime.lanes.slot(endpoint.id, concurrency=concurrency, rate=endpoint.rate):
            result = await _try(job, runtime, settings, loaded)
    except Busy as busy:
        raise _later(runtime, loaded, busy.seconds, busy.why) from None
    await runtime.record(result)
    return result


async def _try(job: JobContext, runtime: Runtime, settings: WebhookSettings, loaded: Loaded) -> Result:
    endpoint, event = loaded.endpoint, loaded.event
    at = time.time()
    headers = {"content-type": "application/json", **endpoint.headers}
    headers |= sign(event.id, int(at), event.body, endpoint.live_secrets(int(1000 * at)))
    try:
        target = runtime.guard.parse(endpoint.url)
        poster = await runtime.poster()
        outcome = await poster.post(target, headers, event.body)
    except TargetRefused as refusal:
        return Result(loaded=loaded, state=DeliveryState.REFUSED, counts=False, error=str(refusal))
    except asyncio.CancelledError:
        if job.cancel_requested():  # else the worker ends, and another one tries again
            await runtime.record(Result(loaded=loaded, state=DeliveryState.ABORTED, counts=False, error="cancelled"))
        raise
    verdict = judge(outcome)
    state, delay = _next(verdict, loaded, settings)
    is_reply = isinstance(outcome, Reply)
    return Result(
        loaded=loaded,
        state=state,
        delay_ms=round(1000 * delay),
        status=outcome.status if isinstance(outcome, Reply) else None,
        error=None if state is DeliveryState.DELIVERED else verdict.why,
        milliseconds=outcome.milliseconds,
        headers=dict(outcome.headers) if is_reply else None,
        excerpt=outcome.body if is_reply else None,
        disables=verdict.why if verdict.disables else None,
    )


def _next(verdict: Verdict, loaded: Loaded, settings: WebhookSettings) -> tuple[DeliveryState, float]:
    """Return the delivery's next state, and the seconds until its next try, if there is one."""
    match verdict.kind:
        case "delivered":
            return DeliveryState.DELIVERED, 0
        case "aborted":
            return DeliveryState.ABORTED, 0
        case "gone":
            return DeliveryState.HELD, 0
        case _:
            delay = delay_after(loaded.delivery.tries + 1, settings.webhook_schedule, asked=verdict.after)
            return (DeliveryState.EXHAUSTED, 0) if delay is None else (DeliveryState.PENDING, delay)


def follow(result: Result) -> str:
    """Return what the job of a delivery ends with.

    Raises:
        RetryAfter: another try follows.
        DeliveryFailed: none does, and it was not delivered.
    """
    if result.state is DeliveryState.PENDING:
        raise RetryAfter(result.delay_ms / 1000, result.error or "")
    if result.state in (DeliveryState.EXHAUSTED, DeliveryState.REFUSED, DeliveryState.ABORTED):
        raise DeliveryFailed(f"{result.state}: {result.error}")
    return result.state


def _later(runtime: Runtime, loaded: Loaded, seconds: float, why: str) -> RunLater:
    """Have the job come back when the endpoint may take the delivery. That is no try."""
    return RunLater(runtime.turnstile.after(loaded.endpoint.id, seconds), why)
