"""The HTTP routes of syncs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from celeriac.families.sync.api_history import add_history_routes
from celeriac.families.sync.api_hosts import add_host_routes
from celeriac.families.sync.api_syncs import add_sync_routes
from celeriac.http.route import bounded_route

if TYPE_CHECKING:
    from celeriac.families.sync import SyncFamily


def create_sync_router(family: SyncFamily, **options: Any) -> APIRouter:
    """Make the API of syncs, to include under a prefix such as `/sync`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["sync"])
    router = APIRouter(route_class=bounded_route(family.host.settings.max_body_bytes), **options)
    add_sync_routes(router, family.looks, family.actions)
    add_history_routes(router, family.looks)
    add_host_routes(router, family.hosts)
    return router
