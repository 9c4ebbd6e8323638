"""The HTTP routes of endpoints."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from pydantic import StringConstraints

from celeriac.families.webhooks.actions import Actions
from celeriac.families.webhooks.forms import EndpointChange, Id, NewEndpoint, Rotation
from celeriac.families.webhooks.views import (
    DeliveryView,
    EndpointPage,
    EndpointView,
    EndpointWithSecret,
)
from celeriac.http.jobs import NO_NULL, in_time
from celeriac.http.problems import responses
from celeriac.http.route import require_json

EndpointId = Annotated[Id, Path(description="The endpoint's id")]


def add_endpoint_routes(router: APIRouter, actions: Actions) -> None:
    """Add the endpoint resource to `router`."""
    _add_reading(router, actions)
    _add_changing(router, actions)
    _add_steering(router, actions)


def _add_reading(router: APIRouter, actions: Actions) -> None:
    @router.get("/endpoints", response_model=EndpointPage, summary="Endpoints", responses=responses(422, 503))
    async def list_endpoints(
        owner: Annotated[
            Annotated[str, StringConstraints(max_length=128, pattern="^[^\\x00]*$")] | None,
            NO_NULL,
            Query(description="Those of this owner"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[Id | None, NO_NULL, Query(description="`next` of the previous page")] = None,
    ) -> Any:
        found, following = await actions.endpoints.page(owner=owner, after=cursor, limit=limit)
        return EndpointPage(endpoints=[EndpointView.of(one) for one in found], next=following)

    @router.get(
        "/endpoints/{endpoint_id}",
        response_model=EndpointView,
        summary="An endpoint",
        responses=responses(404, 422, 503),
    )
    async def show_endpoint(endpoint_id: EndpointId) -> Any:
        return EndpointView.of(await actions.endpoints.get(endpoint_id))


def _add_changing(router: APIRouter, actions: Actions) -> None:
    @router.post(
        "/endpoints",
        status_code=201,
        response_model=EndpointWithSecret,
        summary="Add an endpoint",
        dependencies=[Depends(require_json)],
        responses=responses(400, 413, 415, 422, 503),
    )
    async def add_endpoint(form: NewEndpoint, response: Response) -> Any:
        """Add an endpoint for the events of its owner. The answer has its secret, which is shown this once."""
        endpoint, secret = await actions.add(form)
        response.headers["Cache-Control"] = "no-store"
        return EndpointWithSecret.of(endpoint, secret=secret)

    @router.patch(
        "/endpoints/{endpoint_id}",
        response_model=EndpointView,
        summary="Change an endpoint",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 413, 415, 422, 503),
    )
    async def change_endpoint(endpoint_id: EndpointId, form: EndpointChange) -> Any:
        return EndpointView.of(await actions.change(endpoint_id, form))

    @router.delete(
        "/endpoints/{endpoint_id}",
        status_code=204,
        response_model=None,  # FastAPI 0.115 takes the annotation `None` for a body
        summary="Delete an endpoint",
        responses=responses(404, 422, 503),
    )
    async def delete_endpoint(endpoint_id: EndpointId) -> None:
        """Delete an endpoint with all of its deliveries. What is under way may still arrive."""
        await actions.endpoints.delete(endpoint_id)

    @router.post(
        "/endpoints/{endpoint_id}/rotate-secret",
        response_model=EndpointWithSecret,
        summary="Give an endpoint a new secret",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 413, 415, 422, 503),
    )
    async def rotate_secret(
        endpoint_id: EndpointId, response: Response, form: Annotated[Rotation, Body(default_factory=Rotation)]
    ) -> Any:
        """Sign with a new secret, and for some time with the former one as well. The new one is shown this once."""
        endpoint, secret = await actions.rotate(endpoint_id, form)
        response.headers["Cache-Control"] = "no-store"
        return EndpointWithSecret.of(endpoint, secret=secret)


def _add_steering(router: APIRouter, actions: Actions) -> None:
    @router.post(
        "/endpoints/{endpoint_id}/enable",
        response_model=EndpointView,
        summary="Enable an endpoint",
        responses=responses(404, 422, 503),
    )
    async def enable_endpoint(endpoint_id: EndpointId) -> Any:
        """Deliver to the endpoint again. What was held meanwhile stays so: `POST /replays` sends it."""
        return EndpointView.of(await actions.endpoints.enable(endpoint_id))

    @router.post(
        "/endpoints/{endpoint_id}/disable",
        response_model=EndpointView,
        summary="Disable an endpoint",
        responses=responses(404, 422, 503),
    )
    async def disable_endpoint(endpoint_id: EndpointId) -> Any:
        """Deliver nothing to the endpoint. Its deliveries are held from now on."""
        return EndpointView.of(await actions.endpoints.disable(endpoint_id, "by hand"))

    @router.post(
        "/endpoints/{endpoint_id}/test",
        status_code=202,
        response_model=DeliveryView,
        summary="Send a test event",
        responses=responses(404, 409, 422, 503),
    )
    async def test_endpoint(endpoint_id: EndpointId) -> Any:
        """Send `webhooks.test` to this endpoint, whatever types it wants. The response is the delivery."""
        async with in_time(actions.app):
            return DeliveryView.of(await actions.test(endpoint_id))
