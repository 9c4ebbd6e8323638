"""Routes that say why nothing is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from celeriac.core.errors import FamilyAbsent
from celeriac.http.route import bounded_route

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def absent_router(detail: str, *, max_body_bytes: int, dependencies: Sequence[Any] = ()) -> APIRouter:
    """Answers each path below its prefix with 404 and `detail`, behind `dependencies`. OpenAPI does not show that."""
    router = APIRouter(route_class=bounded_route(max_body_bytes), dependencies=dependencies, include_in_schema=False)

    async def absent() -> None:
        raise FamilyAbsent(detail)

    for path in ("", "/{rest:path}"):
        router.add_api_route(path, absent, methods=_METHODS)
    return router
