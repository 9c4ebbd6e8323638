"""Reads the public keys of DKIM that a domain publishes (RFC 6376, 3.6.1; RFC 8463, 4). Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from celeriac.core.extras import absent
from celeriac.families.email.authentication.tags import parse_tags


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A public key in the DNS.

    Attributes:
        kind: `rsa` or `ed25519`.
        public: the key as `DkimKey.public` has it; None if it is revoked, or cannot be read without `cryptography`.
        bits: the size of an RSA key, if it is known; else 0.
        revoked: it signs nothing any more (an empty `p=`).
        testing: receivers are to treat mails as if they were not signed (`t=y`).
    """

    kind: str
    public: bytes | None
    bits: int = 0
    revoked: bool = False
    testing: bool = False


def parse_key(text: str) -> PublishedKey:
    """Read a TXT record.

    Raises:
        ValueError: says why receivers do not take it.
    """
    tags = parse_tags(text)
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        raise ValueError("v=DKIM1 has to be first")
    if "p" not in tags:
        raise ValueError("there is no p=, the key")
    kind = tags.get("k", "rsa").lower()
    if kind not in ("rsa", "ed25519"):
        raise ValueError(f"k={kind[:20]} is no kind of key; DKIM has rsa and ed25519")
    if "h" in tags and "sha256" not in _listed(tags["h"]):
        raise ValueError("h= does not permit sha256")
    if "s" in tags and not _listed(tags["s"]) & {"*", "email"}:
        raise ValueError("s= does not permit email")
    testing = "y" in _listed(tags.get("t", ""))
    if not tags["p"]:
        return PublishedKey(kind, None, revoked=True, testing=testing)
    try:
        data = base64.b64decode("".join(tags["p"].split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("p= is not base64") from None
    public, bits = _key(kind, data)
    return PublishedKey(kind, public, bits, testing=testing)


def record_text(kind: str, public: bytes) -> str:
    """Return the TXT record that publishes a key."""
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"


def _listed(text: str) -> set[str]:
    return {part.strip().lower() for part in text.split(":")}


def _key(kind: str, data: bytes) -> tuple[bytes | None, int]:
    """Return a key in the one form in which keys are compared, and the size of an RSA key."""
    if kind == "ed25519":
        if len(data) != 32:
            raise ValueError(f"p= has {len(data)} bytes; a key of Ed25519 has 32, without a header (RFC 8463, 4)")
        return data, 0
    if absent(("cryptography",)):
        return None, 0
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("p= is no public key of RSA; was it cut?") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("p= is a key of another kind than k= says")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key.key_size
