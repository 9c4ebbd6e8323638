"""What callers send: endpoints, events and replays, as JSON, checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from celeriac.families.webhooks.deliveries import Choice
from celeriac.families.webhooks.model import DeliveryState
from celeriac.families.webhooks.patterns import check_pattern

_MOST_HEADERS, _LONGEST_HEADER = 20, 4096
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
#: Headers that the sender sets, and those that say how a request is sent.
_OURS = ("webhook-",)
_TAKEN = frozenset(
    {
        *("host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"),
        *("trailer", "expect", "content-encoding", "accept-encoding", "proxy-authorization", "proxy-connection"),
    }
)


def _pattern(value: str) -> str:
    check_pattern(value)
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("the character U+0000 is not possible")
    return value


def printable(value: str) -> str:
    """Check that a text has printable characters only. Raises `ValueError`."""
    if not value.isprintable():
        raise ValueError("only printable characters are possible")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    if len(value) > _MOST_HEADERS:
        raise ValueError(f"{len(value)} headers; the most are {_MOST_HEADERS}")
    checked: dict[str, str] = {}
    for given, text in value.items():
        name = given.lower()
        if not name or len(name) > 100 or not _NAME.issuperset(name):
            raise ValueError(f"{given[:100]!r} cannot be the name of a header: use letters, digits, - and _")
        if name in _TAKEN or name.startswith(_OURS):
            raise ValueError(f"the header {name} is set by the sender; leave it out")
        if len(text) > _LONGEST_HEADER or not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValueError(f"the value of {name}: use printable ASCII, without spaces around it")
        checked[name] = text
    return checked


Owner = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(printable), Field(description="Whose it is")
]
Url = Annotated[
    str, StringConstraints(max_length=2048), Field(description="Where to post", examples=["https://example.com/hook"])
]
EventTypes = Annotated[
    list[Annotated[str, AfterValidator(_pattern)]],
    Field(min_length=1, max_length=100, description="Types such as `invoice.paid`, patterns such as `invoice.*`, `*`"),
]
Description = Annotated[str, StringConstraints(max_length=500), AfterValidator(_no_nul)]
#: An id in a path, a query or a form, which is looked for: what cannot be one is no question for the database.
Id = Annotated[str, StringConstraints(max_length=64, pattern="^[A-Za-z0-9_-]*$")]
EventId = Annotated[str, StringConstraints(max_length=128, pattern="^[A-Za-z0-9_-]*$")]
Headers = Annotated[
    dict[str, str], AfterValidator(_headers), Field(description="Sent with each request. Their values are not shown")
]
Rate = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, description="Requests a second at most")]
Concurrency = Annotated[int, Field(ge=1, le=1000, description="Requests at a time at most")]
Secret = Annotated[
    str,
    StringConstraints(max_length=200),
    Field(description="`whsec_…` or `whsk_…` of your own, to move from elsewhere"),
]
Kind = Annotated[Literal["v1", "v1a"], Field(description="`v1`: a shared secret (HMAC); `v1a`: a key pair (Ed25519)")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewEndpoint(_Form):
    """An endpoint to add."""

    url: Url
    event_types: EventTypes = Field(default_factory=lambda: ["*"])
    owner: Owner | None = None
    description: Description = ""
    headers: Headers = Field(default_factory=dict[str, str])
    rate: Rate | None = None
    concurrency: Concurrency | None = None
    fifo: bool = Field(default=False, description="Deliver one event at a time, in their order")
    secret: Secret | None = None
    signature: Kind = "v1"

    def columns(self) -> dict[str, Any]:
        """The columns of the endpoint's table."""
        return {**self.model_dump(exclude={"secret", "signature"}), "owner": self.owner or ""}


class EndpointChange(_Form):
    """What to change in an endpoint. What is left out stays."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    headers: Headers | None = None
    rate: Rate | None = Field(default=None, description="null: no limit")
    concurrency: Concurrency | None = Field(default=None, description="null: that of the settings")
    fifo: bool | None = None

    @model_validator(mode="after")
    def _no_null(self) -> EndpointChange:
        nulls = [name for name in self.model_fields_set - {"rate", "concurrency"} if getattr(self, name) is None]
        if nulls:
            raise ValueError(f"{', '.join(sorted(nulls))}: null is not possible; leave it out to keep it")
        return self

    def columns(self) -> dict[str, Any]:
        """The columns to change."""
        return self.model_dump(include=self.model_fields_set)


class Rotation(_Form):
    """How to replace a secret."""

    secret: Secret | None = None
    signature: Kind = "v1"
    overlap: float = Field(
        default=86400, ge=0, le=30 * 86400, description="Seconds for which the former secret signs as well"
    )


class EventForm(_Form):
    """An event to send."""

    type: str = Field(max_length=200, examples=["invoice.paid"], description="Words with dots between them")
    payload: Any = Field(description="Any JSON. Endpoints get it as `data`")
    id: str | None = Field(
        default=None, max_length=200, description="The same event again with the same id is sent once"
    )
    owner: Owner | None = Field(default=None, description="Send it to the endpoints of this owner only")


class Replay(_Form):
    """Which deliveries to send again. Those of disabled endpoints, and those that are open, are none of them."""

    endpoint: Id | None = None
    event: EventId | None = None
    since: datetime | None = Field(default=None, description="Events from this time on")
    until: datetime | None = Field(default=None, description="Events before this time")
    states: list[DeliveryState] = Field(
        default_factory=lambda: [
            *(DeliveryState.EXHAUSTED, DeliveryState.HELD, DeliveryState.ABORTED, DeliveryState.REFUSED)
        ],
        min_length=1,
        max_length=6,
        description="By default all that have ended without success",
    )
    dry_run: bool = Field(default=False, description="Only count them")

    @model_validator(mode="after")
    def _bounded(self) -> Replay:
        if self.endpoint is self.event is self.since is None:
            raise ValueError("say which deliveries: give endpoint, event or since")
        for name in ("since", "until"):
            moment: datetime | None = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{name} needs a time zone, such as 2026-11-28T12:00:00Z")
        return self

    def choice(self, changed_before: int) -> Choice:
        """The same for the database."""
        return Choice(changed_before=changed_before, **self.arguments())

    def arguments(self) -> dict[str, Any]:
        """The same for the job."""
        return {
            "endpoint": self.endpoint,
            "event": self.event,
            "states": self.states,
            "since": _milliseconds(self.since),
            "until": _milliseconds(self.until),
        }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(1000 * moment.timestamp())


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers without their values, which may be secret."""
    return dict.fromkeys(headers, "***")
