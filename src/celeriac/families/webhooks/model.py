"""The data of webhooks: endpoints, events, deliveries and attempts. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: Types of events that this family itself sends begin so. An endpoint gets them only if it names them.
OWN_TYPES = "webhooks."
#: Sent once when an endpoint is disabled, and when a delivery is out of tries.
ENDPOINT_DISABLED, DELIVERY_EXHAUSTED = "webhooks.endpoint.disabled", "webhooks.delivery.exhausted"
#: What `POST /endpoints/{id}/test` sends.
TEST = "webhooks.test"


class DeliveryState(StrEnum):
    """The state of one event on its way to one endpoint."""

    PENDING = "pending"
    """It is being tried, or waits for its next try."""
    DELIVERED = "delivered"
    """The endpoint answered with a status of 200 to 299. It is sent again only by a replay."""
    EXHAUSTED = "exhausted"
    """The last try of the schedule failed. A replay, or a retry of its job, starts over."""
    ABORTED = "aborted"
    """The receiver or somebody here has cancelled it."""
    HELD = "held"
    """The endpoint was disabled. A replay delivers it once the endpoint is enabled again."""
    REFUSED = "refused"
    """The endpoint's URL leads to where deliveries must not go."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret. `expires_at` (ms since the epoch) is when it is no longer used; None: it is the current one."""

    secret: str
    expires_at: int | None = None

    def __repr__(self) -> str:
        return f"Secret(***, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where events go.

    Attributes:
        owner: whose events it gets; empty: those that have no owner.
        event_types: types, or patterns such as `invoice.*`. `*` is every type but those of this family itself.
        headers: sent with each request, in addition to those of the signature. They may be secret.
        secrets: the live ones sign each request, the newest first.
        rate: requests a second at most, from all workers together; None: no limit.
        concurrency: requests at a time at most, from all workers together; None: the setting's.
        fifo: deliver one event at a time, in their order.
        disabled_reason: why it is not enabled.
        failing_since: when its first failure since the last success was; None: it does not fail.
        failures: how often it has failed since then.
        trips: how often its circuit has opened since then.
        open_until: when its circuit lets the next request through; None: the circuit is closed.
    """

    id: str
    owner: str
    url: str
    event_types: Sequence[str]
    description: str = ""
    headers: Mapping[str, str]
    secrets: Sequence[Secret]
    rate: float | None = None
    concurrency: int | None = None
    fifo: bool = False
    enabled: bool = True
    disabled_reason: str | None = None
    failing_since: int | None = None
    failures: int = 0
    trips: int = 0
    open_until: int | None = None
    created_at: int = 0
    updated_at: int = 0

    def live_secrets(self, at_ms: int) -> list[str]:
        """The secrets that sign at that time."""
        return [one.secret for one in self.secrets if one.expires_at is None or one.expires_at > at_ms]

    def __repr__(self) -> str:  # neither secrets nor headers, which may have some
        return f"<Endpoint {self.id}>"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `body` is what endpoints get: JSON with its type, time and data."""

    number: int
    id: str
    owner: str
    type: str
    body: bytes
    created_at: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint.

    Attributes:
        cycle: 1, and one more with each replay.
        tries: how often it was tried in this cycle.
        attempts: how often it was tried at all.
        status: the last answer's status; None: there was none.
        error: what was wrong with the last try.
        next_at: when it is tried next, if the endpoint then takes it.
    """

    id: str
    event_id: str
    event_number: int
    event_type: str
    endpoint_id: str
    state: DeliveryState
    cycle: int
    tries: int
    attempts: int
    status: int | None
    error: str | None
    next_at: int | None
    created_at: int
    updated_at: int

    @property
    def job_id(self) -> str:
        """The id of the job of this cycle."""
        return job_id_of(self.id, self.cycle)


def job_id_of(delivery_id: str, cycle: int) -> str:
    """The id of a delivery's job. Who enqueues it twice enqueues it once."""
    return f"{delivery_id}.{cycle}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, as the log has it. There is no header of the request in it, and no secret."""

    number: int
    at: int
    milliseconds: int
    status: int | None
    error: str | None
    headers: Mapping[str, str] | None
    excerpt: str | None
