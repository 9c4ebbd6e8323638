"""The HTTP routes of what comes back: raw messages with an API key, and providers with their own proof."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from celeriac.core.interrupt import run_with_deadline
from celeriac.families.email.inbound.mail import READ_BYTES, read_message
from celeriac.families.email.inbound.model import Feedback, Kind
from celeriac.families.email.inbound.providers.base import NotGenuine, NotNow, NotUnderstood, Provider
from celeriac.families.email.inbound.store import FeedbackStore
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.tokens import Tokens
from celeriac.http.jobs import JobId
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import BodyTooLarge, check_announced_length

log = logging.getLogger("celeriac")

#: Largest raw message. A bounce may return the whole mail, with its attachments.
MAX_MESSAGE_BYTES = 32 * 1_048_576
#: Longest time to read one message. Most take some milliseconds, the worst some seconds of CPU time. The rest is for a
#: machine that is busy: a bounce that is not read is lost.
READ_TIMEOUT_S = 20.0

_NO_FORM = "send the raw message as the body, such as curl --data-binary @bounce.eml"
#: The setting of each provider.
SET_UP_BY = {
    "events": "CELERIAC_MAIL_WEBHOOK_SECRETS",
    "ses": "CELERIAC_MAIL_SES_TOPIC",
    "sendgrid": "CELERIAC_MAIL_SENDGRID_KEY",
    "mailgun": "CELERIAC_MAIL_MAILGUN_KEY",
    "postmark": "CELERIAC_MAIL_POSTMARK_AUTH",
}


class Received(BaseModel):
    """What was made of a request."""

    events: int = Field(description="Bounces, complaints and requests to unsubscribe in it")
    recorded: int = Field(description="Those that were new, and of an address that is known")


class FeedbackView(BaseModel):
    """What came back of the mails of a mailing."""

    hard_bounces: int
    soft_bounces: int
    complaints: int
    unsubscribed: int
    suppressed: int = Field(description="Recipients that got no mail, for their address was suppressed")


def add_inbound_routes(router: APIRouter, store: FeedbackStore, ledger: Ledger, tokens: Tokens | None) -> None:
    """Add the routes that need an API key."""

    @router.post(
        "/inbound",
        response_model=Received,
        summary="A raw message that came back",
        openapi_extra={
            "requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}}
        },
        responses=responses(413, 415, 422, 503),
    )
    async def receive_message(
        request: Request,
        recipient: Annotated[
            str, Query(max_length=320, description="The address to which it came, if the mail server says so")
        ] = "",
    ) -> Any:
        """A bounce (RFC 3464, or one of many other forms), or a complaint (RFC 5965).

        It counts for the recipient whose token is in the address to which it came, or in what it returns of the mail.
        A message without a token of ours changes nothing.
        """
        if tokens is None:
            raise ProblemError(503, "mail-not-configured", "CELERIAC_MAIL_SECRETS is not set: no mail has a token")
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise ProblemError(415, "unsupported-media-type", _NO_FORM)
        raw = await _body(request)
        if not raw:
            raise ProblemError(422, "invalid-request", "the body is empty; send the raw message as the body")
        feedback = await read_in_time(raw, tokens, recipient)
        return await _recorded(store, [] if feedback is None else [feedback])

    @router.get(
        "/mailings/{job_id}/feedback",
        response_model=FeedbackView,
        summary="What came back of a mailing",
        responses=responses(404, 422, 503),
    )
    async def show_feedback(job_id: JobId) -> Any:
        await ledger.mailing(job_id)
        counts = await store.counts(job_id)
        return FeedbackView(
            hard_bounces=counts[Kind.HARD_BOUNCE],
            soft_bounces=counts[Kind.SOFT_BOUNCE],
            complaints=counts[Kind.COMPLAINT],
            unsubscribed=counts[Kind.UNSUBSCRIBE],
            suppressed=await store.suppressed(job_id),
        )


def add_provider_routes(router: APIRouter, store: FeedbackStore, providers: Mapping[str, Provider]) -> None:
    """Add the public route of providers. Each proves by itself that it is genuine."""

    @router.post(
        "/inbound/{provider}",
        response_model=Received,
        summary="Bounces and complaints from a provider",
        responses=responses(401, 404, 413, 422, 503),
    )
    async def receive_events(provider: str, request: Request) -> Any:
        """What Amazon SES (`ses`, through SNS), SendGrid (`sendgrid`), Mailgun (`mailgun`) or Postmark (`postmark`)
        posts; or events of any other source (`events`), signed as Standard Webhooks says.

        Each needs its setting. What is repeated counts once.
        """
        if provider not in providers:
            raise ProblemError(404, "unknown-provider", _not_set_up(provider))
        adapter = providers[provider]
        body = await request.body()
        try:
            await adapter.check({name.lower(): value for name, value in request.headers.items()}, body)
            events = await asyncio.to_thread(adapter.read, body)
        except NotNow as error:
            raise ProblemError(503, "not-now", f"{provider}: {error}") from None
        except NotGenuine as error:
            raise ProblemError(401, "not-genuine", f"{provider}: {error}") from None
        except NotUnderstood as error:
            raise ProblemError(422, "not-understood", f"{provider}: {error}") from None
        return await _recorded(store, events)


async def read_in_time(raw: bytes, tokens: Tokens, delivered_to: str = "") -> Feedback | None:
    """Read a raw message, in a thread and within bounded time. None: it says nothing, or cannot be read."""
    work = partial(read_message, raw, tokens, delivered_to=delivered_to)
    try:
        return await asyncio.to_thread(run_with_deadline, work, READ_TIMEOUT_S)
    except TimeoutError:
        log.warning("a message of %d bytes that came back was not read: it takes too long", len(raw))
        return None


def _not_set_up(provider: str) -> str:
    if provider in SET_UP_BY:
        return f"{provider} is not set up here: set {SET_UP_BY[provider]}"
    return f"there is no provider {provider[:40]!r}; there are {', '.join(SET_UP_BY)}"


async def _body(request: Request) -> bytes:
    """Return the part of the message that is read: its beginning."""
    check_announced_length(request, MAX_MESSAGE_BYTES)
    beginning, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_MESSAGE_BYTES:
            raise BodyTooLarge(MAX_MESSAGE_BYTES)
        beginning += piece[: READ_BYTES - len(beginning)]
    return bytes(beginning)


async def _recorded(store: FeedbackStore, events: Sequence[Feedback]) -> Received:
    recorded = [await store.record(event) for event in events]
    return Received(events=len(events), recorded=sum(one.new for one in recorded))
