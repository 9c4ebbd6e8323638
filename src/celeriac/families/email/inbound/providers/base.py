"""What the adapters of all providers share."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from celeriac.families.email.address import parse_address
from celeriac.families.email.inbound.model import Feedback, Kind
from celeriac.families.email.status_codes import find_code, is_dead

#: Most events of one request. Providers send some hundreds.
MOST_EVENTS = 5_000
#: Seconds that a signed request may be old, or ahead of our clock.
TOLERANCE_S = 300.0
_MAX_TEXT = 1_000


class NotGenuine(Exception):
    """A request that the provider did not send, or that is too old. The text says no more than that."""


class NotNow(Exception):
    """Whether a request is genuine cannot be told now. The provider is to send it again."""


class NotUnderstood(Exception):
    """A genuine request that does not have the provider's form. The text names what is missing."""


class Provider(ABC):
    """An adapter of one provider. `name` is in its URL."""

    name: str

    @abstractmethod
    async def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check that the provider sent the request.

        Raises:
            NotGenuine: it did not.
            NotNow: that cannot be told now.
        """

    @abstractmethod
    def read(self, body: bytes) -> Sequence[Feedback]:
        """Return what a genuine request says. Events that tell neither of a bounce nor of a complaint are left out.

        Raises:
            NotUnderstood: it has another form.
        """


def parsed(body: bytes | str) -> Any:
    """Return the JSON of a body.

    Raises:
        NotUnderstood: it is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("the body is not JSON") from None


def member(value: Any, *path: str) -> Any:
    """Return a member of nested objects; None if one of them is absent, or is no object."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = cast(dict[str, Any], value).get(name)
    return value


def text(value: Any, *path: str) -> str:
    """Return a text in nested objects, cut to a bounded length; empty if there is none. Numbers become texts.

    `?` stands for what no database stores: half a character, which JSON may have, and NUL.
    """
    found = member(value, *path)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return str(found)[:_MAX_TEXT].encode(errors="replace").decode().replace("\0", "?")


def address(value: Any, *path: str) -> str | None:
    """Return an address in its normal form, in which it is looked up later; None if there is none."""
    try:
        return parse_address(text(value, *path).strip())
    except ValueError:
        return None


def name_of(event: Any, *path: str) -> str:
    """Return what names an event, so that it counts once; if it has no name, a digest of all that it says."""
    told = json.dumps(event, sort_keys=True).encode()
    return text(event, *path) or hashlib.sha256(told).hexdigest()


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a list, up to a bounded number.

    Raises:
        NotUnderstood: it is no list.
    """
    if not isinstance(value, list):
        raise NotUnderstood("a list of events is missing")
    for item in cast(list[Any], value)[:MOST_EVENTS]:
        if isinstance(item, dict):
            yield cast(dict[str, Any], item)


def bounce_kind(status: str, *, default: Kind) -> Kind:
    """Say whether an enhanced status code is of a dead address. Without a code it is what the provider says."""
    code = find_code(status)
    if code is None:
        return default
    return Kind.HARD_BOUNCE if is_dead(code) else default


def recent(seconds: str) -> bool:
    """Return whether a time (seconds since the epoch) is close to now."""
    try:
        return abs(time.time() - float(seconds)) <= TOLERANCE_S
    except (ValueError, OverflowError):
        return False
