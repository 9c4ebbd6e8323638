"""The HTTP routes of cleanups. What they change are runs: policies come from configuration only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from celeriac.families.cleanup.api_policies import add_policy_routes
from celeriac.families.cleanup.api_runs import add_run_routes
from celeriac.http.route import bounded_route

if TYPE_CHECKING:
    from celeriac.families.cleanup import CleanupFamily


def create_cleanup_router(family: CleanupFamily, **options: Any) -> APIRouter:
    """Make the cleanup API, to include under a prefix such as `/cleanup`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["cleanup"])
    router = APIRouter(route_class=bounded_route(family.host.settings.max_body_bytes), **options)
    add_policy_routes(router, family)
    add_run_routes(router, family)
    return router
