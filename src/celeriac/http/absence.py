"""Routes of an API that is switched off, which say why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from celeriac.core.errors import FamilyAbsent
from celeriac.http.route import bounded_route

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def absent_router(detail: str, *, max_body_bytes: int, dependencies: Sequence[Any] = ()) -> APIRouter:
    """Make a router that answers each path with 404 and `detail`, after `dependencies`. OpenAPI does not show it."""
    router = APIRouter(route_class=bounded_route(max_body_bytes), dependencies=dependencies, include_in_schema=False)

    async def absent() -> None:
        raise FamilyAbsent(detail)

    for path in ("", "/{rest:path}"):
        router.add_api_route(path, absent, methods=_METHODS)
    return router
