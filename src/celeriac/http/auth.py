"""Who calls: API keys, and a fence around an API that needs none."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.security import HTTPBearer

from celeriac.http.problems import ProblemError, problem

_READING = frozenset({"GET", "HEAD", "OPTIONS"})

bearer = HTTPBearer(auto_error=False, description="An API key's secret")


def require_api_key(keys: dict[str, str]) -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets callers in who give one of `keys` (name → secret); everyone if there are none."""

    async def check(request: Request) -> None:
        if not keys:
            return
        credentials = await bearer(request)
        given = (credentials.credentials if credentials else "").encode()
        # Every secret is compared, and in constant time, so that the time taken tells nothing.
        names = [name for name, secret in keys.items() if hmac.compare_digest(secret.encode(), given)]
        if not names:
            raise ProblemError(401, "unauthorized", "give an API key: `Authorization: Bearer <secret>`")
        request.state.celeriac_caller = names[0]

    return check


def caller(request: Request) -> str:
    """Name of the API key that was given; empty where none is needed."""
    return getattr(request.state, "celeriac_caller", "")


async def refuse_foreign_pages(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse changes asked for by a web page of another origin (CSRF), which matters where no key is needed.

    Browsers name the page's origin in every such request; programs do not, and pass.
    """
    origin = request.headers.get("origin")
    if request.method not in _READING and origin and urlsplit(origin).netloc != request.headers.get("host"):
        return problem(403, "foreign-origin", f"changes may not be asked for by pages of {origin[:200]}")
    return await call_next(request)
