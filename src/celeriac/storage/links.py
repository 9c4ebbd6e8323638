"""Links that whoever has them may follow until they expire: signed, so that no other can be made of them.

The key is kept in the storage, beside what it protects, and is made once: all processes on that storage share it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from celeriac.core import codec
from celeriac.core.errors import LinkInvalid, StorageUnavailable
from celeriac.storage.location import Location, PathTaken, shown

_KEY_PATH = "keys/links"
_SIGNATURE_BYTES = 32
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Link:
    """What a link leads to, and until when (UTC)."""

    job_id: str
    name: str
    expires_at: datetime


class Links:
    """Makes and reads the tokens of links. Every method may raise `StorageUnavailable`."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._key = b""

    async def token(self, link: Link) -> str:
        """The token that stands for the link: 60 to 600 characters that a URL may hold."""
        claim = codec.dumps([link.job_id, link.name, int(link.expires_at.timestamp())])
        return base64.urlsafe_b64encode(await self._sign(claim) + claim).rstrip(b"=").decode()

    async def read(self, token: str) -> Link:
        """The link that a token stands for.

        Raises:
            LinkInvalid: nobody here made it, or it has expired.
        """
        try:
            decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raise LinkInvalid("the link is incomplete or was changed") from None
        signature, claim = decoded[:_SIGNATURE_BYTES], decoded[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, await self._sign(claim)):
            raise LinkInvalid("the link is incomplete or was changed")
        job_id, name, expires = codec.loads(claim)
        expires_at = datetime.fromtimestamp(expires, UTC)
        if datetime.now(UTC) >= expires_at:
            raise LinkInvalid(f"the link was valid until {expires_at:%Y-%m-%d %H:%M} UTC")
        return Link(job_id, name, expires_at)

    async def _sign(self, claim: bytes) -> bytes:
        if not self._key:
            self._key = await self._shared_key()
        return hmac.digest(self._key, claim, hashlib.sha256)

    async def _shared_key(self) -> bytes:
        key = await self._location.read(_KEY_PATH)
        if key is None:
            try:
                self._location.make_folder(_KEY_PATH.rpartition("/")[0])  # nobody else is to sign
                await self._location.put(_KEY_PATH, key := secrets.token_bytes(_KEY_BYTES), replace=False)
            except PathTaken:  # another process was faster
                key = await self._location.read(_KEY_PATH)
        if key is None or len(key) != _KEY_BYTES:  # with an empty one, whoever likes could sign
            raise StorageUnavailable(
                shown(self._location.url), f"{_KEY_PATH} is damaged; delete it, which ends all links"
            )
        return key
