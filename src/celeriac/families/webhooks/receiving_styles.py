"""How different senders prove that a webhook is theirs, and where its id and type are."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from celeriac.core import codec
from celeriac.families.webhooks.errors import SecretInvalid, SignatureMissing, SignatureWrong
from celeriac.families.webhooks.keys import PUBLIC, public_key, shared_key
from celeriac.families.webhooks.verifying import check_time, read_timestamp, verify

Style = Literal["standard", "stripe", "github"]

_LONGEST_ID = 256
_MOST_SIGNATURES = 20
_LONGEST_HEADER = 4096


class NotAnEvent(ValueError):
    """What is proven to be from its sender is no event. The message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A webhook that is proven to be from its sender.

    Attributes:
        id: the event's id, the same for each try.
        type: the event's type; empty if the sender has none.
        payload: the body, read as JSON.
    """

    id: str
    type: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Sender:
    """How one kind of sender does it.

    Attributes:
        prove: takes the raw body, the headers with their names in lower case, the secrets, and the tolerance in
            seconds. Raises `SignatureInvalid`.
        find: returns the id and the type, of the headers and the payload.
        check_secret: raises `SecretInvalid` for one that this sender would never give.
    """

    prove: Callable[[bytes, Mapping[str, str], Sequence[str], float], object]
    find: Callable[[Mapping[str, str], Any], tuple[object, object]]
    check_secret: Callable[[str], object]

    def read(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], tolerance: float) -> Proven:
        """Prove and read one webhook.

        Raises:
            SignatureInvalid: it is not proven. Nothing of its body was read as JSON.
            NotAnEvent: it is not JSON, or has no id.
        """
        self.prove(body, headers, secrets, tolerance)
        try:
            payload = codec.loads(body)
        except ValueError as error:
            raise NotAnEvent(f"its body is not JSON: {error}") from None
        event_id, kind = self.find(headers, payload)
        if not isinstance(event_id, str) or not 0 < len(event_id) <= _LONGEST_ID:
            raise NotAnEvent(f"it has no id of 1 to {_LONGEST_ID} characters")
        return Proven(event_id, kind if isinstance(kind, str) else "", payload)


def _in(payload: Any, name: str) -> object:
    return payload.get(name) if isinstance(payload, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _check_any(secret: str) -> None:
    if not secret:
        raise SecretInvalid("the secret of a webhook is empty")


def _check_standard(secret: str) -> None:
    if secret.startswith(PUBLIC):
        public_key(secret)
    else:
        shared_key(secret)


def _prove_stripe(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], tolerance: float) -> None:
    """Check `Stripe-Signature: t=…,v1=…`: the hexadecimal HMAC-SHA256 of the time, a dot, and the body."""
    given = _header(headers, "stripe-signature")
    parts = [part.partition("=") for part in given.split(",")[:_MOST_SIGNATURES]]
    times = [value for name, _, value in parts if name.strip() == "t"]
    if len(times) != 1:
        raise SignatureMissing("the header stripe-signature does not have one time")
    check_time(read_timestamp(times[0], "stripe-signature"), tolerance, None)
    signed = times[0].encode() + b"." + body
    _compare(secrets, signed, [value for name, _, value in parts if name.strip() == "v1"])


def _prove_github(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], tolerance: float) -> None:
    """Check `X-Hub-Signature-256: sha256=…`: the hexadecimal HMAC-SHA256 of the body. It has no time."""
    scheme, _, signature = _header(headers, "x-hub-signature-256").partition("=")
    if scheme != "sha256":
        raise SignatureMissing("the header x-hub-signature-256 does not begin with sha256=")
    _compare(secrets, body, [signature])


def _compare(secrets: Sequence[str], signed: bytes, signatures: Sequence[str]) -> None:
    """Raise `SignatureWrong` unless a signature fits a secret. All are compared, so that the time reveals nothing."""
    fitting = [
        secret
        for secret in secrets
        for signature in signatures
        if hmac.compare_digest(hmac.digest(secret.encode(), signed, "sha256").hex().encode(), signature.encode())
    ]
    if not fitting:
        raise SignatureWrong("no signature of the webhook fits its body and any of the secrets")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value or len(value) > _LONGEST_HEADER:
        raise SignatureMissing(f"the webhook has no header {name}, or one that is too long")
    return value


SENDERS: dict[Style, Sender] = {
    "standard": Sender(
        prove=lambda body, headers, secrets, tolerance: verify(body, headers, secrets, tolerance=tolerance),
        find=lambda headers, payload: (headers.get("webhook-id"), _in(payload, "type")),
        check_secret=_check_standard,
    ),
    "stripe": Sender(
        prove=_prove_stripe,
        find=lambda _, payload: (_in(payload, "id"), _in(payload, "type")),
        check_secret=_check_any,
    ),
    "github": Sender(
        prove=_prove_github,
        find=lambda headers, _: (headers.get("x-github-delivery"), headers.get("x-github-event")),
        check_secret=_check_any,
    ),
}
