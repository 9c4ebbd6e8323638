"""Errors for what callers ask for and cannot have, and for deliveries that have ended without success.

CeleriacError
├── JobRefused
│   ├── SubmissionInvalid
│   │   └── EventInvalid        an event cannot be accepted; names the field and what to change
│   ├── UnknownEndpoint         there is no endpoint with that id
│   ├── UnknownEvent            there is no event with that id, or it is too old
│   └── UnknownDelivery         there is no delivery with that id, or it is too old
└── DeliveryFailed              a delivery has ended without success; its job has failed
"""

from __future__ import annotations

from typing import Any, ClassVar

from celeriac.core.errors import CeleriacError, JobRefused, SubmissionInvalid


class Unknown(JobRefused, LookupError):
    """There is none with that id, or its time is over."""

    what: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no {self.what} with id {name[:64]!r} is known")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)


class UnknownEndpoint(Unknown):
    """There is no endpoint with that id."""

    what = "endpoint"


class UnknownEvent(Unknown):
    """There is no event with that id, or it is older than `CELERIAC_WEBHOOK_RETENTION`."""

    what = "event"


class UnknownDelivery(Unknown):
    """There is no delivery with that id, or it is older than `CELERIAC_WEBHOOK_RETENTION`."""

    what = "delivery"


class EventInvalid(SubmissionInvalid):
    """An event cannot be accepted. The message names the field and what to change."""

    def __init__(self, field: str, fault: str) -> None:
        self.field = field
        self.fault = fault
        super().__init__(f"{field}: {fault}", [{"loc": ["body", field], "msg": fault}])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.field, self.fault)


class DeliveryFailed(CeleriacError):
    """A delivery has ended without success. The message says how. A replay, or a retry of the job, starts over."""
