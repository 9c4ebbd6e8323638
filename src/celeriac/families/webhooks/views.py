"""What the API and the commands show of endpoints, events and deliveries: no secret, and no value of a header."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self, overload

from pydantic import BaseModel, Field

from celeriac.core import codec
from celeriac.families.webhooks.forms import masked
from celeriac.families.webhooks.model import Attempt, Delivery, DeliveryState, Endpoint, Event
from celeriac.families.webhooks.signing import public_key


class EndpointView(BaseModel):
    """An endpoint."""

    id: str
    owner: str | None
    url: str
    event_types: list[str]
    description: str
    headers: dict[str, str] = Field(description="Their values are not shown")
    rate: float | None
    concurrency: int | None
    fifo: bool
    enabled: bool
    disabled_reason: str | None
    failures: int = Field(description="In a row, since its last success")
    failing_since: datetime | None
    left_alone_until: datetime | None = Field(description="It fails, and gets nothing before this time")
    secrets: int = Field(description="How many secrets sign now")
    public_keys: list[str] = Field(description="`whpk_…`, with which receivers verify `v1a` signatures")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, endpoint: Endpoint, **more: Any) -> Self:
        """Show an endpoint. `more` are fields of a class below."""
        now = datetime.now(UTC)
        live = endpoint.live_secrets(round(1000 * now.timestamp()))
        left_alone = moment(endpoint.open_until)
        return cls(
            id=endpoint.id,
            owner=endpoint.owner or None,
            url=endpoint.url,
            event_types=list(endpoint.event_types),
            description=endpoint.description,
            headers=masked(endpoint.headers),
            rate=endpoint.rate,
            concurrency=endpoint.concurrency,
            fifo=endpoint.fifo,
            enabled=endpoint.enabled,
            disabled_reason=endpoint.disabled_reason,
            failures=endpoint.failures,
            failing_since=moment(endpoint.failing_since),
            left_alone_until=left_alone if left_alone is not None and left_alone > now else None,
            secrets=len(live),
            public_keys=[public_key(secret) for secret in live if secret.startswith("whsk_")],
            created_at=moment(endpoint.created_at),
            updated_at=moment(endpoint.updated_at),
            **more,
        )


class EndpointWithSecret(EndpointView):
    """An endpoint with its new secret, which is shown this once."""

    secret: str


class EndpointPage(BaseModel):
    """Endpoints by id. Only a null `next` is the end."""

    endpoints: list[EndpointView]
    next: str | None


class EventView(BaseModel):
    """An event, and how many of its deliveries are in which state."""

    id: str
    type: str
    owner: str | None
    created_at: datetime
    payload: Any
    deliveries: dict[DeliveryState, int]

    @classmethod
    def of(cls, event: Event, counts: Mapping[DeliveryState, int]) -> Self:
        """Show an event."""
        return cls(
            id=event.id,
            type=event.type,
            owner=event.owner or None,
            created_at=moment(event.created_at),
            payload=codec.loads(event.body)["data"],
            deliveries=dict(counts),
        )


class DeliveryView(BaseModel):
    """One event on its way to one endpoint. Its job is at `/jobs/{job}`."""

    id: str
    event: str
    type: str
    endpoint: str
    state: DeliveryState
    attempts: int
    status: int | None = Field(description="The last answer's status")
    error: str | None = Field(description="What was wrong with the last try")
    next_at: datetime | None = Field(description="When it is tried next, if the endpoint then takes it")
    created_at: datetime
    updated_at: datetime
    job: str

    @classmethod
    def of(cls, delivery: Delivery, **more: Any) -> Self:
        """Show a delivery. `more` are fields of a class below."""
        return cls(
            id=delivery.id,
            event=delivery.event_id,
            type=delivery.event_type,
            endpoint=delivery.endpoint_id,
            state=delivery.state,
            attempts=delivery.attempts,
            status=delivery.status,
            error=delivery.error,
            next_at=moment(delivery.next_at),
            created_at=moment(delivery.created_at),
            updated_at=moment(delivery.updated_at),
            job=delivery.job_id,
            **more,
        )


class DeliveryPage(BaseModel):
    """Deliveries, those of the newest events first. Only a null `next` is the end."""

    deliveries: list[DeliveryView]
    next: str | None


class AttemptView(BaseModel):
    """One try of a delivery."""

    number: int
    at: datetime
    milliseconds: int
    status: int | None
    error: str | None
    headers: dict[str, str] | None = Field(description="Headers of the answer that help to find a fault")
    excerpt: str | None = Field(description="The beginning of the answer's body")

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """Show a try."""
        return cls(
            number=attempt.number,
            at=moment(attempt.at),
            milliseconds=attempt.milliseconds,
            status=attempt.status,
            error=attempt.error,
            headers=None if attempt.headers is None else dict(attempt.headers),
            excerpt=attempt.excerpt,
        )


class DeliveryWithAttempts(DeliveryView):
    """A delivery with its log."""

    log: list[AttemptView]


class ReplayView(BaseModel):
    """How many deliveries are sent again, and the job that does it."""

    count: int
    job: str | None


@overload
def moment(milliseconds: int) -> datetime: ...
@overload
def moment(milliseconds: int | None) -> datetime | None: ...
def moment(milliseconds: int | None) -> datetime | None:
    """Return a time of the database."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
