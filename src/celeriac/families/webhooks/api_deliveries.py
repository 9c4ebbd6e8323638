"""The HTTP routes of events, deliveries and replays."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import StringConstraints

from celeriac.families.webhooks.actions import Actions
from celeriac.families.webhooks.deliveries import Choice
from celeriac.families.webhooks.forms import EventForm, EventId, Id, Replay
from celeriac.families.webhooks.model import DeliveryState
from celeriac.families.webhooks.views import (
    AttemptView,
    DeliveryPage,
    DeliveryView,
    DeliveryWithAttempts,
    EventView,
    ReplayView,
)
from celeriac.http.jobs import NO_NULL, in_time
from celeriac.http.problems import responses
from celeriac.http.route import require_json

DeliveryId = Annotated[Id, Path(description="The delivery's id")]
_Cursor = Annotated[str, StringConstraints(max_length=90, pattern="^[0-9]{1,18}_[A-Za-z0-9-]{1,64}$")]


def add_event_routes(router: APIRouter, actions: Actions) -> None:
    """Add the event resource to `router`."""

    @router.post(
        "/events",
        status_code=202,
        response_model=EventView,
        summary="Send an event",
        response_description="It is stored, and is delivered to the endpoints that want it",
        dependencies=[Depends(require_json)],
        responses=responses(400, 409, 413, 415, 422, 503),
    )
    async def send_event(form: EventForm) -> Any:
        """Send an event to each endpoint of its owner that wants its type.

        With an `id`, the same event can be sent again, and is delivered once. While the broker is away, events are
        accepted: they are delivered when it is back.
        """
        event = (await actions.send(form)).event  # without a deadline for the broker: the event is stored in any case
        return EventView.of(event, await actions.jobs.deliveries.counts(event.number))

    @router.get("/events/{event_id}", response_model=EventView, summary="An event", responses=responses(404, 422, 503))
    async def show_event(event_id: Annotated[EventId, Path(description="The event's id")]) -> Any:
        event = await actions.jobs.deliveries.event(event_id)
        return EventView.of(event, await actions.jobs.deliveries.counts(event.number))


def add_delivery_routes(router: APIRouter, actions: Actions) -> None:
    """Add the delivery resource, and replays, to `router`."""

    @router.get("/deliveries", response_model=DeliveryPage, summary="Deliveries", responses=responses(422, 503))
    async def list_deliveries(
        endpoint: Annotated[Id | None, NO_NULL, Query()] = None,
        event: Annotated[EventId | None, NO_NULL, Query()] = None,
        state: Annotated[DeliveryState | None, NO_NULL, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[_Cursor | None, NO_NULL, Query(description="`next` of the previous page")] = None,
    ) -> Any:
        choice = Choice(endpoint=endpoint, event=event, states=None if state is None else [state])
        number, _, after = (cursor or "").partition("_")
        found, following = await actions.jobs.deliveries.page(
            choice, after=(int(number), after) if number else None, limit=limit
        )
        shown = [DeliveryView.of(one) for one in found]
        return DeliveryPage(deliveries=shown, next=following and f"{following[0]}_{following[1]}")

    @router.get(
        "/deliveries/{delivery_id}",
        response_model=DeliveryWithAttempts,
        summary="A delivery and its log",
        responses=responses(404, 422, 503),
    )
    async def show_delivery(delivery_id: DeliveryId) -> Any:
        delivery = await actions.jobs.deliveries.get(delivery_id)
        log = [AttemptView.of(one) for one in await actions.jobs.deliveries.attempts(delivery_id)]
        return DeliveryWithAttempts.of(delivery, log=log)

    _add_steering(router, actions)


def _add_steering(router: APIRouter, actions: Actions) -> None:
    @router.post(
        "/deliveries/{delivery_id}/cancel",
        response_model=DeliveryView,
        summary="Cancel a delivery",
        responses=responses(404, 409, 422, 503),
    )
    async def cancel_delivery(delivery_id: DeliveryId) -> Any:
        """Do not try it any more. What is under way may still arrive."""
        async with in_time(actions.app):
            return DeliveryView.of(await actions.cancel(delivery_id))

    @router.post(
        "/deliveries/{delivery_id}/replay",
        status_code=202,
        response_model=DeliveryView,
        summary="Send a delivery again",
        responses=responses(404, 409, 422, 503),
    )
    async def replay_delivery(delivery_id: DeliveryId) -> Any:
        """Send it again with the same message id, whatever came of it. The schedule begins anew."""
        async with in_time(actions.app):
            return DeliveryView.of(await actions.replay_one(delivery_id))

    @router.post(
        "/replays",
        status_code=202,
        response_model=ReplayView,
        summary="Send many deliveries again",
        dependencies=[Depends(require_json)],
        responses={
            200: {"model": ReplayView, "description": "Nothing was sent, it was only counted"},
            **responses(400, 404, 409, 413, 415, 422, 503),
        },
    )
    async def replay(form: Replay, response: Response) -> Any:
        """Send deliveries of an endpoint, of an event, or since a time again: those that have ended without success.

        With `dry_run` it only counts them, and answers 200.
        """
        async with in_time(actions.app):
            count, job = await actions.replay(form)
        if job is None:
            response.status_code = 200
        return ReplayView(count=count, job=job)
