"""Proves to an API who asks: headers, a parameter, or tokens that it issues for a while."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import quote_plus

from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.auth_model import Auth, BasicAuth, BearerAuth, HeaderAuth, OAuth2Auth, QueryAuth
from celeriac.families.sync.secrets import Secrets

#: Sends a form to a URL, with headers, and returns the object that comes.
Post = Callable[[str, dict[str, str], dict[str, str]], Awaitable[dict[str, Any]]]

#: A token is renewed so long before its end: a part of its life, and at most so many seconds.
_MARGIN, _LONGEST_MARGIN_S = 0.1, 60.0


class Credentials:
    """What each request takes along."""

    def __init__(self, auth: Auth | None, secrets: Secrets, post: Post) -> None:
        self._auth = auth
        self._secrets = secrets
        self._tokens = _Tokens(auth, secrets, post) if isinstance(auth, OAuth2Auth) else None
        self._fixed: tuple[dict[str, str], dict[str, str]] | None = None

    async def get(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return headers and parameters.

        Raises:
            SourceFailed: a secret is not there, or the server issues no token for it.
        """
        if self._tokens is not None:
            return {"Authorization": f"Bearer {await self._tokens.get()}"}, {}
        if self._fixed is None:
            self._fixed = self._read()
        return self._fixed

    def refuse(self, headers: dict[str, str]) -> bool:
        """Forget the token that these headers have, as the API has refused it. Return whether another may be had."""
        if self._tokens is None:
            return False
        self._tokens.refuse(headers.get("Authorization", ""))
        return True

    def _read(self) -> tuple[dict[str, str], dict[str, str]]:
        match self._auth:
            case HeaderAuth(name=name, value=place):
                return {name: self._secrets.read(place)}, {}
            case QueryAuth(name=name, value=place):
                return {}, {name: self._secrets.read(place)}
            case BearerAuth(token=place):
                return {"Authorization": f"Bearer {self._secrets.read(place)}"}, {}
            case BasicAuth(user=user, password=place):
                return {"Authorization": basic(user, self._secrets.read(place), self._secrets)}, {}
            case _:
                return {}, {}


def basic(user: str, password: str, secrets: Secrets) -> str:
    """Return the header's value (RFC 7617, in UTF-8)."""
    packed = b64encode(f"{user}:{password}".encode()).decode()
    secrets.add(packed)
    return f"Basic {packed}"


class _Tokens:
    """The token of now. Requests that need another at the same time wait for one."""

    def __init__(self, auth: OAuth2Auth, secrets: Secrets, post: Post) -> None:
        self._auth = auth
        self._secrets = secrets
        self._post = post
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    async def get(self) -> str:
        async with self._lock:
            if not self._token or time.monotonic() >= self._good_until:
                await self._renew()
            return self._token

    def refuse(self, header: str) -> None:
        if header == f"Bearer {self._token}":  # else somebody has renewed it meanwhile
            self._token = ""

    async def _renew(self) -> None:
        auth = self._auth
        secret = self._secrets.read(auth.client_secret)
        form = {"grant_type": "client_credentials", **auth.params}
        headers: dict[str, str] = {}
        if auth.scope is not None:
            form["scope"] = auth.scope
        if auth.credentials_in == "header":  # RFC 6749, section 2.3.1: each part is encoded as in a form first
            headers["Authorization"] = basic(quote_plus(auth.client_id), quote_plus(secret), self._secrets)
        else:
            form |= {"client_id": auth.client_id, "client_secret": secret}
        asked_at = time.monotonic()
        answer = await self._post(auth.token_url, headers, form)
        token, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise SourceFailed("the token endpoint's answer has no usable access_token")
        kind = answer.get("token_type", "bearer")
        if str(kind).lower() != "bearer":
            raise SourceFailed(f"the token endpoint issues tokens of type {shown(kind)}; only bearer is known")
        self._secrets.add(token)
        self._token = token
        self._good_until = asked_at + _life_of(life)


def _life_of(seconds: Any) -> float:
    """Return for how long a token is used. Some servers write the number as text, some leave it out."""
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return float("inf")  # until the API refuses it
    life = max(0.0, float(seconds))
    return life - min(_LONGEST_MARGIN_S, life * _MARGIN)


def error_code(answer: Any) -> str:
    """Return what a token endpoint says is wrong (RFC 6749, section 5.2), for a message."""
    if not isinstance(answer, dict):
        return ""
    code = cast("dict[str, Any]", answer).get("error")
    return f": {shown(code)}" if isinstance(code, str) else ""
