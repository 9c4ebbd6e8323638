"""Signed tokens that stand for one recipient of one mailing, and reveal no address. Pure.

They are in links and in return paths, so they are short, and hold in any case of letters: 48 letters and digits (base32
of the mailing's UUID, the position, and 80 bits of an HMAC-SHA256). Whoever guesses has to ask this server each time.
The purpose is signed too, so that a return path is no link for unsubscribing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from collections.abc import Sequence
from enum import StrEnum

#: Letters and digits of each token.
LENGTH = 48
_MAC_BYTES = 10
_POSITION_BYTES = 4


class Purpose(StrEnum):
    """What a token is good for."""

    UNSUBSCRIBE = "unsubscribe"
    BOUNCE = "bounce"


class Tokens:
    """Makes and reads tokens."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """The first secret signs; tokens of all of them are read, so that secrets can be changed.

        Raises:
            ValueError: there is no secret.
        """
        if not secrets:
            raise ValueError("tokens need a secret")
        self._secrets = tuple(secrets)

    def make(self, purpose: Purpose, mailing_id: str, position: int) -> str:
        """Return the token of a recipient.

        Raises:
            ValueError: the mailing's id is no UUID in its usual form, or the position exceeds 32 bits.
        """
        claim = _claim(mailing_id, position)
        return base64.b32encode(claim + _mac(self._secrets[0], purpose, claim)).decode().lower()

    def read(self, purpose: Purpose, token: str) -> tuple[str, int] | None:
        """Return the mailing's id and the position that a token stands for; None if nobody here made it."""
        if len(token) != LENGTH or not token.isascii():
            return None
        try:
            decoded = base64.b32decode(token.upper())
        except binascii.Error:
            return None
        claim, mac = decoded[:-_MAC_BYTES], decoded[-_MAC_BYTES:]
        genuine = [secret for secret in self._secrets if hmac.compare_digest(mac, _mac(secret, purpose, claim))]
        if not genuine:
            return None
        return str(uuid.UUID(bytes=claim[:-_POSITION_BYTES])), int.from_bytes(claim[-_POSITION_BYTES:])


def _claim(mailing_id: str, position: int) -> bytes:
    parsed = uuid.UUID(mailing_id)
    if str(parsed) != mailing_id or not 0 <= position < 1 << (8 * _POSITION_BYTES):
        raise ValueError(f"no token can stand for position {position} of {mailing_id[:64]!r}")
    return parsed.bytes + position.to_bytes(_POSITION_BYTES)


def _mac(secret: bytes, purpose: Purpose, claim: bytes) -> bytes:
    return hmac.digest(secret, purpose.encode() + b"\0" + claim, hashlib.sha256)[:_MAC_BYTES]
