"""Passwords of PDFs on their way from a request to its job. Arguments, records and messages never hold one as it is.

A caller's own password is sealed before the job is enqueued: AES-SIV, with a key that follows from the one that signs
links. That key is in the storage, which Redis and those who look at jobs do not see. Sealing is deterministic, so that
a repeated request is the same request; it is padded, so that its length tells nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import SecretStr

from celeriac.families.reports.errors import PasswordUnavailable, ReportInvalid
from celeriac.families.reports.request import NamedPassword, ReportRequest, SealedPassword
from celeriac.secret import read_secret
from celeriac.storage.links import Link

if TYPE_CHECKING:
    from celeriac.storage.storage import Storage

#: A link that was never valid: its signature is known to nobody, and no other claim has the same.
_PURPOSE = Link("celeriac.reports", "passwords", datetime.fromtimestamp(0, UTC))
_BLOCK = 64


async def sealed(request: ReportRequest, storage: Storage) -> ReportRequest:
    """Return the request with its password sealed, as it may stand in a job's arguments."""
    if not isinstance(request.password, SecretStr):
        return request
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    content = request.password.get_secret_value().encode()
    padded = content.ljust(-(-(len(content) + 1) // _BLOCK) * _BLOCK, b"\0")
    token = base64.urlsafe_b64encode(AESSIV(await _key(storage)).encrypt(padded, None)).decode()
    return request.model_copy(update={"password": SealedPassword(sealed=token)})


async def opened(request: ReportRequest, named: Mapping[str, SecretStr], storage: Storage) -> str | None:
    """Return the password of a request that a job got; None: it has none.

    Raises:
        PasswordUnavailable: it was sealed with another storage's key, or its variable or file is not there.
    """
    match request.password:
        case SealedPassword(sealed=token):
            return await _unsealed(token, storage)
        case NamedPassword(name=name):
            return _of_settings(name, named)
        case SecretStr():
            return request.password.get_secret_value()  # a test runs the job without a broker
        case _:
            return None


def check_named(request: ReportRequest, named: Mapping[str, SecretStr]) -> None:
    """
    Raises:
        ReportInvalid: the settings have no password of that name.
    """
    if isinstance(request.password, NamedPassword) and request.password.name not in named:
        raise ReportInvalid(
            "password.name", f"no password is named {request.password.name!r}; CELERIAC_REPORTS_PASSWORDS names them"
        )


async def _key(storage: Storage) -> bytes:
    return hashlib.sha512((await storage.links.token(_PURPOSE)).encode()).digest()


async def _unsealed(token: str, storage: Storage) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    try:
        padded = AESSIV(await _key(storage)).decrypt(base64.urlsafe_b64decode(token), None)
    except (InvalidTag, ValueError):
        raise PasswordUnavailable(
            "the password cannot be opened: API and worker use other storages, or the storage's key has changed; "
            "ask for the report anew"
        ) from None
    return padded.rstrip(b"\0").decode()


def _of_settings(name: str, named: Mapping[str, SecretStr]) -> str:
    if name not in named:
        raise PasswordUnavailable(f"no password is named {name!r} here; CELERIAC_REPORTS_PASSWORDS names them")
    place = named[name].get_secret_value()
    try:
        content = read_secret(place)
    except ValueError as error:
        raise PasswordUnavailable(f"the password {name!r} cannot be read from {error}") from None
    if not 1 <= len(content) <= 127:
        raise PasswordUnavailable(f"the password {name!r} ({place}) must have 1 to 127 characters")
    return content
