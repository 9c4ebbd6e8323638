"""The HTTP routes of webhooks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from celeriac.families.webhooks.api_deliveries import add_delivery_routes, add_event_routes
from celeriac.families.webhooks.api_endpoints import add_endpoint_routes
from celeriac.families.webhooks.refusals import UnknownDelivery, UnknownEndpoint, UnknownEvent
from celeriac.http.problems import problem
from celeriac.http.route import bounded_route

if TYPE_CHECKING:
    from celeriac.families.webhooks import WebhooksFamily

#: What a request has besides the payload of its event.
_ENVELOPE_BYTES = 4096


def create_webhooks_router(family: WebhooksFamily, **options: Any) -> APIRouter:
    """Make the webhooks API, to include under a prefix such as `/webhooks`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["webhooks"])
    limit = max(family.host.settings.max_body_bytes, family.settings.webhook_max_event_bytes + _ENVELOPE_BYTES)
    router = APIRouter(route_class=_knowing(bounded_route(limit)), **options)
    add_endpoint_routes(router, family.actions)
    add_event_routes(router, family.actions)
    add_delivery_routes(router, family.actions)
    return router


def _knowing(route: type[APIRoute]) -> type[APIRoute]:
    """Make a route class that answers with 404 for what does not exist."""

    class KnowingRoute(route):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handle(request)
                except UnknownEndpoint as error:
                    return problem(404, "unknown-endpoint", str(error))
                except UnknownEvent as error:
                    return problem(404, "unknown-event", str(error))
                except UnknownDelivery as error:
                    return problem(404, "unknown-delivery", str(error))

            return answer

    return KnowingRoute
