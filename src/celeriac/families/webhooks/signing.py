"""Signs webhooks as Standard Webhooks 1.0.0 says: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`)."""

from __future__ import annotations

import hmac
import secrets as randomness
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from celeriac.families.webhooks.keys import PRIVATE, PUBLIC, SHARED, private_key, shared_key

_LONGEST_ID = 256
#: Bytes of a new shared secret. The specification wants 24 to 64.
_NEW_SECRET_BYTES = 32


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers that prove `body` to be ours: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

    Args:
        message_id: visible ASCII without full stops; the same for each try of the message.
        timestamp: when this try is made, in seconds since 1970 UTC.
        secrets: those that are live, `whsec_…` or `whsk_…`. There is a signature with each, so that a receiver
            may have the old one or the new one.

    Raises:
        ValueError: the message id cannot be signed, or there is no secret.
        SecretInvalid: a secret cannot be used.
    """
    if not is_message_id(message_id):
        raise ValueError(
            f"message id {message_id[:64]!r}: use 1 to {_LONGEST_ID} visible ASCII characters, no full stop"
        )
    if not secrets:
        raise ValueError("a webhook without a secret cannot be signed")
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join([_signature(secret, signed) for secret in secrets]),
    }


def is_message_id(text: str) -> bool:
    """Whether `text` can be the id of a message. A full stop would let parts of what is signed change places."""
    return 0 < len(text) <= _LONGEST_ID and all("!" <= each <= "~" and each != "." for each in text)


def new_secret(kind: Literal["v1", "v1a"] = "v1") -> str:
    """Return a new secret: `whsec_…`, which both sides have, or `whsk_…`, which only the sender has."""
    prefix, length = (SHARED, _NEW_SECRET_BYTES) if kind == "v1" else (PRIVATE, 32)
    return prefix + b64encode(randomness.token_bytes(length)).decode()


def public_key(secret: str) -> str:
    """Return the key with which receivers verify signatures of a `whsk_…`: `whpk_…`.

    Raises:
        SecretInvalid: the secret is not a `whsk_…`.
    """
    return PUBLIC + b64encode(private_key(secret).public_key().public_bytes_raw()).decode()


def _signature(secret: str, signed: bytes) -> str:
    if secret.startswith(PRIVATE):
        return "v1a," + b64encode(_remembered(secret).sign(signed)).decode()
    return "v1," + b64encode(hmac.digest(_remembered_shared(secret), signed, "sha256")).decode()


#: A private key is derived from its seed in 40 microseconds, as many as a signature takes; a shared one is read in 2.
_remembered = lru_cache(maxsize=1024)(private_key)
_remembered_shared = lru_cache(maxsize=1024)(shared_key)
