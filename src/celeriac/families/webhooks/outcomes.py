"""What can come of one request to an endpoint: an answer, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FailureKind = Literal["name", "connect", "tls", "timeout", "broken", "protocol"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered.

    Attributes:
        headers: those that help to find a fault, by their names in lower case.
        body: the beginning of the body, as text. What we sent as a secret is not in it.
        milliseconds: from the begin of the request to the end of the answer.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str = ""
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. Another try may have one.

    Attributes:
        kind: `name`: its name was not resolved; `connect`: no connection; `tls`: none that is secure; `timeout`;
            `broken`: the connection ended before the answer did; `protocol`: the answer is not HTTP as it should be.
        text: the same for people. It has no address.
    """

    kind: FailureKind
    text: str
    milliseconds: int = 0
