"""Verifies webhooks that were received, as Standard Webhooks 1.0.0 says."""

from __future__ import annotations

import hmac
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celeriac.families.webhooks.errors import SignatureMissing, SignatureTooNew, SignatureTooOld, SignatureWrong
from celeriac.families.webhooks.keys import PRIVATE, PUBLIC, public_key, shared_key

#: A sender has a signature for each live secret: some two or three. What has more is no honest webhook.
_MOST_SIGNATURES = 20
_LONGEST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class VerifiedEvent:
    """A webhook that is proven to be from its sender.

    Attributes:
        id: the message's id, which is the same for each try: process it once.
        timestamp: when this try was made, in seconds since 1970 UTC.
        payload: the body, as it was signed.
    """

    id: str
    timestamp: int
    payload: bytes


def verify(
    payload: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance: float = 300,
    now: float | None = None,
) -> VerifiedEvent:
    """Prove that a webhook is from who has one of `secrets`, and that it was sent lately.

    Args:
        payload: the raw body. One that was read as JSON and written again is another one.
        headers: those of the request. Capital and small letters are the same.
        secrets: each that may be in use: `whsec_…`, or the sender's public key `whpk_…`.
        tolerance: seconds that the clocks of both sides may differ, together with the way, in either direction.
        now: seconds since 1970 UTC; None: the time of this machine.

    Raises:
        SignatureMissing, SignatureTooOld, SignatureTooNew, SignatureWrong: it is not proven. All are
            `SignatureInvalid`. Answer with 401, and do not tell the sender which it was.
        SecretInvalid: one of `secrets` cannot be used.
    """
    keys = [secrets] if isinstance(secrets, str) else list(secrets)
    given = {name.lower(): value for name, value in headers.items()}
    message_id = _header(given, "webhook-id")
    timestamp = read_timestamp(_header(given, "webhook-timestamp"), "webhook-timestamp")
    check_time(timestamp, tolerance, now)
    signed = b"%b.%d.%b" % (message_id.encode("latin-1", "replace"), timestamp, payload)
    signatures = [each.partition(",") for each in _header(given, "webhook-signature").split(" ")[:_MOST_SIGNATURES]]
    shared = [_decoded(value) for version, _, value in signatures if version == "v1"]
    asymmetric = [_decoded(value) for version, _, value in signatures if version == "v1a"]
    # Every key is tried, so that the time does not say which one fits.
    fits = [
        _fits_public(key, signed, asymmetric) if _is_public(key) else _fits_shared(key, signed, shared) for key in keys
    ]
    if not any(fits):
        raise SignatureWrong("no signature of the webhook fits its body and any of the secrets")
    return VerifiedEvent(message_id, timestamp, payload)


def read_timestamp(text: str, header: str) -> int:
    """Return the seconds in `text`. Raises `SignatureMissing` if it is not a whole number without a sign."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise SignatureMissing(f"the time in the header {header} is not a number of seconds")
    return int(text)


def check_time(timestamp: int, tolerance: float, now: float | None) -> None:
    """Raise `SignatureTooOld` or `SignatureTooNew` unless `timestamp` is within `tolerance` seconds of `now`."""
    age = (time.time() if now is None else now) - timestamp
    if age > tolerance:
        raise SignatureTooOld(f"the webhook was signed {age:.0f} s ago; the tolerance is {tolerance:g} s")
    if -age > tolerance:
        raise SignatureTooNew(f"the webhook was signed {-age:.0f} s after now; the tolerance is {tolerance:g} s")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value or len(value) > _LONGEST_HEADER:
        raise SignatureMissing(f"the webhook has no header {name}, or one that is too long")
    return value


def _is_public(key: str) -> bool:
    return key.startswith((PUBLIC, PRIVATE))  # a private key is refused where it is read


def _fits_shared(key: str, signed: bytes, signatures: Sequence[bytes]) -> bool:
    expected = hmac.digest(shared_key(key), signed, "sha256")
    return sum(hmac.compare_digest(expected, signature) for signature in signatures) > 0


def _fits_public(key: str, signed: bytes, signatures: Sequence[bytes]) -> bool:
    from cryptography.exceptions import InvalidSignature

    verifier = public_key(key)
    for signature in signatures:
        try:
            verifier.verify(signature, signed)
        except InvalidSignature:
            continue
        return True
    return False


def _decoded(signature: str) -> bytes:
    """Return the bytes of a signature; none if it is not Base64, which fits nothing."""
    try:
        return b64decode(signature, validate=True)
    except ValueError:
        return b""
