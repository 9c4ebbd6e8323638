"""Who calls: API keys, and a fence around an API that needs none."""

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
    """A dependency that lets in callers who give one of `keys` (name → secret)."""

    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
    ) -> None:
        # Headers are read as Latin-1: this gives back the bytes that were sent.
        given = credentials.credentials.encode("latin-1") if credentials else b""
        # Every secret is compared, and in constant time, so that the time taken tells nothing.
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
    """Name of the API key that was given; empty where none is needed."""
    return getattr(request.state, "celeriac_caller", "")


class LoopbackOnly:
    """ASGI middleware for an API without keys: it answers this machine's programs, and no page of a foreign site.

    A web page can have its visitor's browser send requests to 127.0.0.1. Browsers name the page's origin in all that
    may change something (CSRF); and a name of the page's own that resolves to 127.0.0.1, which would make the page and
    this API one origin, shows in the Host header (DNS rebinding).
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
        raise ProblemError(403, "not-local", f"without API keys, only this machine may ask; {_REMEDY}")
    host = request.headers.get("host")
    if host is not None and not is_loopback(_name(host)):
        raise ProblemError(
            421, "foreign-host", f"without API keys, only localhost is served, not {host[:200]}; {_REMEDY}"
        )
    origin = request.headers.get("origin")
    if request.method not in _READING and origin is not None and origin.partition("://")[2] != host:
        raise ProblemError(403, "foreign-origin", f"changes may not be asked for by pages of {origin[:200]}")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
