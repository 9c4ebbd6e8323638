"""Checks API keys, and protects an API without keys from other machines and foreign pages."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from celeriac.http.problems import ProblemError
from celeriac.settings import is_loopback

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEDY = "set CELERIAC_API_KEYS to open this API to others"

bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key's secret")


def require_api_key(keys: Mapping[str, str]) -> Callable[..., Awaitable[None]]:
    """Make a dependency that admits only callers with one of `keys` (name → secret)."""

    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
    ) -> None:
        # Starlette decodes headers as Latin-1, so this restores the sent bytes.
        given = credentials.credentials.encode("latin-1") if credentials else b""
        # Compare with every secret, in constant time, so that the time reveals nothing.
        names = [name for name, secret in keys.items() if hmac.compare_digest(secret.encode(), given)]
        if not names:
            raise ProblemError(
                401,
                "unauthorized",
                "give an API key: `Authorization: Bearer <secret>`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        request.state.celeriac_caller = names[0]

    return check


def caller(request: Request) -> str:
    """Return the name of the caller's API key. It is empty for an API without keys."""
    return getattr(request.state, "celeriac_caller", "")


class LoopbackOnly:
    """ASGI middleware for an API without keys. It serves this machine's programs, but no page of a foreign site.

    A web page can make its visitor's browser send requests to 127.0.0.1. The browser names the page's origin in each
    request that may change something, so the middleware refuses foreign ones (CSRF). A page can also let its own host
    name resolve to 127.0.0.1, and so share an origin with this API (DNS rebinding). The Host header shows that name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                _check_local(Request(scope))
        except ProblemError as refusal:
            await refusal.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _check_local(request: Request) -> None:
    if request.client is not None and not is_loopback(request.client.host):
        raise ProblemError(403, "not-local", f"without API keys, only this machine may send requests; {_REMEDY}")
    host = request.headers.get("host")
    if host is not None and not is_loopback(_name(host)):
        raise ProblemError(
            421, "foreign-host", f"without API keys, only localhost is served, not {host[:200]}; {_REMEDY}"
        )
    origin = request.headers.get("origin")
    if request.method not in _READING and origin is not None and origin.partition("://")[2] != host:
        raise ProblemError(403, "foreign-origin", f"pages of {origin[:200]} may not request changes")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
