"""Reads the secrets of Standard Webhooks 1.0.0: `whsec_…`, `whsk_…` and `whpk_…`. No message ever has one of them."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

from celeriac.families.webhooks.errors import SecretInvalid

if TYPE_CHECKING:  # it loads OpenSSL: only who has such keys needs it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
_SHARED_BYTES = range(24, 65)
_SEED_BYTES = 32
_LONGEST_TEXT = 200


def shared_key(secret: str) -> bytes:
    """Return the bytes of a `whsec_…`, which has 24 to 64 of them.

    Raises:
        SecretInvalid: it is none.
    """
    key = _decoded(secret, SHARED)
    if key is None or len(key) not in _SHARED_BYTES:
        raise SecretInvalid(f"the secret is not {SHARED} and the Base64 of 24 to 64 bytes")
    return key


def private_key(secret: str) -> Ed25519PrivateKey:
    """Return the key of a `whsk_…`: a seed of 32 bytes, after which its public key may follow.

    Raises:
        SecretInvalid: it is none, or the public key is that of another.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = _decoded(secret, PRIVATE)
    if key is None or len(key) not in (_SEED_BYTES, 2 * _SEED_BYTES):
        raise SecretInvalid(f"the secret is not {PRIVATE} and the Base64 of an Ed25519 key of 32 or 64 bytes")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED_BYTES])
    if key[_SEED_BYTES:] not in (b"", private.public_key().public_bytes_raw()):
        raise SecretInvalid(f"the second half of the {PRIVATE} secret is not the public key of its first half")
    return private


def public_key(key: str) -> Ed25519PublicKey:
    """Return the key of a `whpk_…`.

    Raises:
        SecretInvalid: it is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = _decoded(key, PUBLIC)
    if raw is None or len(raw) != _SEED_BYTES:
        raise SecretInvalid(f"the key is not {PUBLIC} and the Base64 of an Ed25519 public key of 32 bytes")
    return Ed25519PublicKey.from_public_bytes(raw)


def check_secret(secret: str) -> None:
    """Raise `SecretInvalid` unless `secret` is a `whsec_…` or `whsk_…` that can sign."""
    if secret.startswith(PRIVATE):
        private_key(secret)
    else:
        shared_key(secret)


def _decoded(text: str, prefix: str) -> bytes | None:
    if not text.startswith(prefix) or len(text) > _LONGEST_TEXT:
        return None
    try:
        return b64decode(text[len(prefix) :], validate=True)
    except ValueError:
        return None
