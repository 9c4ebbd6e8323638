"""The HTTP routes of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from celeriac.families.webhooks.api_deliveries import add_delivery_routes, add_event_routes
from celeriac.families.webhooks.api_endpoints import add_endpoint_routes
from celeriac.http.route import bounded_route

if TYPE_CHECKING:
    from celeriac.families.webhooks import WebhooksFamily

#: What a request has besides the payload of its event.
_ENVELOPE_BYTES = 4096


def create_webhooks_router(family: WebhooksFamily, **options: Any) -> APIRouter:
    """Make the webhooks API, to include under a prefix such as `/webhooks`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["webhooks"])
    limit = max(family.host.settings.max_body_bytes, family.settings.webhook_max_event_bytes + _ENVELOPE_BYTES)
    router = APIRouter(route_class=bounded_route(limit), **options)
    add_endpoint_routes(router, family.actions)
    add_event_routes(router, family.actions)
    add_delivery_routes(router, family.actions)
    return router
