"""Receives webhooks of others: proves each one, and makes a job of it, once for each event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, NoReturn, TypeVar, get_type_hints

from fastapi import HTTPException, Request
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from celeriac.client.job import Job
from celeriac.core.errors import BrokerUnavailable, ConfigurationError, IdempotencyConflict, InvalidArguments
from celeriac.families.webhooks.errors import SignatureInvalid
from celeriac.families.webhooks.receiving_styles import SENDERS, NotAnEvent, Proven, Sender, Style

T = TypeVar("T")
Secrets = str | Sequence[str] | Callable[[], str | Sequence[str]]

logger = logging.getLogger(__name__)

#: How long an event's id is remembered. Senders try for three days, and people send again by hand.
_REMEMBERED = timedelta(days=7)


class IncomingEvent(BaseModel, Generic[T]):
    """A webhook that is proven to be from its sender, as its job gets it.

    Annotate the job's parameter with `IncomingEvent[Order]`: a payload that is no `Order` is refused at once.
    """

    id: str = Field(description="The event's id, the same for each try of its sender")
    type: str = Field(default="", description="The event's type; empty if the sender has none")
    payload: T = Field(description="The whole body of the request")


class Received(BaseModel):
    """What the sender is answered."""

    id: str = Field(description="The event's id")


def receive(
    job: Job[..., Any],
    *,
    secrets: Secrets,
    style: Style = "standard",
    tolerance: float = 300,
    remember: float | timedelta = _REMEMBERED,
    max_body_bytes: int = 1_048_576,
    read_seconds: float = 20,
) -> Callable[[Request], Awaitable[Received]]:
    """Make a dependency of FastAPI that takes webhooks, and enqueues `job` once for each event id.

        order_hook = receive(on_order, secrets=settings.shop_secret)

        @api.post("/hooks/shop", status_code=202)
        async def take(received: Annotated[Received, Depends(order_hook)]) -> Received:
            return received

    The event is stored when the sender has its answer: in the job's arguments, on the broker. Each path has event ids
    of its own. The sender is answered 401 if the webhook is not proven, 400 or 422 if it is no event that the job
    takes, 413 or 408 if its body is too large or too slow, and 503 if the broker does not answer, so that it tries
    again. Reasons are logged, and never told.

    Args:
        job: gets the event as its only argument, an `IncomingEvent`.
        secrets: one or several, for as long as they change; or a function that returns them.
        style: `standard` (Standard Webhooks: Svix and many others), `stripe`, or `github`.
        tolerance: seconds that the clocks of both sides may differ. GitHub sends no time.
        remember: seconds, or a timedelta, for which an event that comes again makes no second job.
        max_body_bytes: of a webhook.
        read_seconds: for which its body may come.

    Raises:
        SecretInvalid: one of `secrets` cannot be used.
        ConfigurationError: there is no such style, or the job does not take an event.
    """
    _check_job(job)
    if style not in SENDERS:
        raise ConfigurationError(f"style={style!r}: expected one of {', '.join(SENDERS)}")
    sender, find_secrets = SENDERS[style], _listed(secrets)
    if not callable(secrets):
        for secret in find_secrets():
            sender.check_secret(secret)
    life = remember if isinstance(remember, timedelta) else timedelta(seconds=remember)

    return _Receiver(job, sender, find_secrets, tolerance, life, max_body_bytes, read_seconds).take


@dataclass(frozen=True, slots=True)
class _Receiver:
    """Takes the webhooks of one sender for one job."""

    job: Job[..., Any]
    sender: Sender
    find_secrets: Callable[[], list[str]]
    tolerance: float
    life: timedelta
    max_body_bytes: int
    read_seconds: float

    async def take(self, request: Request) -> Received:
        body = await _read(request, self.max_body_bytes, self.read_seconds)
        headers = {name.lower(): value for name, value in request.headers.items()}
        event = self._proven(request.url.path, body, headers)
        await _enqueue(self.job, event, f"webhooks:{request.url.path}:{self.job.name}:{event.id}", self.life)
        return Received(id=event.id)

    def _proven(self, path: str, body: bytes, headers: Mapping[str, str]) -> Proven:
        try:
            return self.sender.read(body, headers, self.find_secrets(), self.tolerance)
        except SignatureInvalid as error:
            logger.warning("a webhook to %s is not proven to be from its sender: %s", path, error)
            raise HTTPException(
                status_code=401,
                detail="the signature of the webhook is not valid",
                headers={"WWW-Authenticate": "Signature"},
            ) from None
        except NotAnEvent as error:
            logger.warning("a webhook to %s is no event: %s", path, error)
            raise HTTPException(status_code=400, detail="the webhook is no event in JSON with an id") from None


def _check_job(job: Job[..., Any]) -> None:
    """Raise `ConfigurationError` unless a job can be enqueued with an event alone."""
    parameters = list(job.spec.signature.parameters.values())
    hints = get_type_hints(job.function)
    kinds = [hints.get(parameter.name) for parameter in parameters if parameter.default is parameter.empty]
    if not (len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], IncomingEvent)):
        raise ConfigurationError(
            f"the job {job.name} cannot take webhooks: give it one argument, such as `event: IncomingEvent[Order]`"
        )


async def _enqueue(job: Job[..., Any], event: Proven, key: str, life: timedelta) -> None:
    """Enqueue the job, unless the event has one."""
    given: Any = {"id": event.id, "type": event.type, "payload": event.payload}
    try:
        await job.options(idempotency_key=key, idempotency_life=life).enqueue(given)
    except IdempotencyConflict:
        pass  # the sender wrote the same event differently this time: it has its job
    except InvalidArguments as error:
        logger.warning("the event %r is not what the job %s takes: %s", event.id, job.name, error)
        raise HTTPException(status_code=422, detail="the event does not have the expected form") from None
    except BrokerUnavailable:
        logger.warning("the event %r is not taken: the broker does not answer", event.id)
        raise HTTPException(
            status_code=503, detail="the event cannot be stored now; send it again", headers={"Retry-After": "5"}
        ) from None


async def _read(request: Request, limit: int, seconds: float) -> bytes:
    """Return the body as it was sent."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 15 or int(announced) > limit:
        _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    _too_large(limit)
    except TimeoutError:
        raise HTTPException(
            status_code=408, detail="the body comes too slowly", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise HTTPException(status_code=400, detail="the body has ended too early") from None
    return bytes(body)


def _too_large(limit: int) -> NoReturn:
    raise HTTPException(status_code=413, detail=f"the body is larger than the {limit:,} bytes accepted here")


def _listed(secrets: Secrets) -> Callable[[], list[str]]:
    def found() -> list[str]:
        now = secrets() if callable(secrets) else secrets
        return [now] if isinstance(now, str) else list(now)

    return found
