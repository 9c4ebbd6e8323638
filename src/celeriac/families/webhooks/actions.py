"""What the API and the commands do: they check endpoints, and steer deliveries together with their jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from celeriac.client.options import EnqueueOptions
from celeriac.core import codec
from celeriac.core.errors import UnknownJob, WrongState
from celeriac.core.ids import new_id
from celeriac.engine.app import JobApp
from celeriac.families.webhooks.deliveries import Choice
from celeriac.families.webhooks.emitting import checked
from celeriac.families.webhooks.endpoints import Endpoints
from celeriac.families.webhooks.event_store import Stored, new_event
from celeriac.families.webhooks.forms import EndpointChange, EventForm, NewEndpoint, Replay, Rotation
from celeriac.families.webhooks.guard import Guard
from celeriac.families.webhooks.jobs import WebhookJobs, send_again
from celeriac.families.webhooks.keys import check_secret
from celeriac.families.webhooks.model import TEST, Delivery, DeliveryState, Endpoint
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.families.webhooks.signing import new_secret


class Actions:
    """Changes to endpoints and deliveries of one application."""

    def __init__(
        self, app: JobApp, jobs: WebhookJobs, endpoints: Callable[[], Endpoints], settings: WebhookSettings
    ) -> None:
        self.app = app
        self.jobs = jobs
        self._endpoints = endpoints
        self.settings = settings
        self._guard = Guard(settings.webhook_allow)

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints that are stored."""
        return self._endpoints()

    async def add(self, form: NewEndpoint) -> tuple[Endpoint, str]:
        """Store an endpoint. Return it with its secret.

        Raises:
            UrlInvalid, TargetRefused, SecretInvalid: name what to change.
        """
        self._check_url(form.url)
        secret = _secret(form.secret, form.signature)
        return await self.endpoints.create(form.columns(), secret), secret

    async def change(self, endpoint_id: str, form: EndpointChange) -> Endpoint:
        """Change an endpoint.

        Raises:
            UnknownEndpoint: there is none with that id.
            UrlInvalid, TargetRefused: name what to change.
        """
        if form.url is not None:
            self._check_url(form.url)
        return await self.endpoints.change(endpoint_id, form.columns())

    async def rotate(self, endpoint_id: str, form: Rotation) -> tuple[Endpoint, str]:
        """Give an endpoint a new secret, and return it.

        Raises:
            UnknownEndpoint: there is none with that id.
            SecretInvalid: names what to change.
        """
        secret = _secret(form.secret, form.signature)
        return await self.endpoints.rotate(endpoint_id, secret, overlap_ms=round(1000 * form.overlap)), secret

    async def send(self, form: EventForm) -> Stored:
        """Accept an event.

        Raises:
            EventInvalid: names what to change.
            IdempotencyConflict: another event has its id.
        """
        most = self.settings.webhook_max_event_bytes
        event = checked(form.type, form.payload, event_id=form.id, owner=form.owner, most_bytes=most)
        return await self.jobs.emitter.emit(event)

    async def test(self, endpoint_id: str) -> Delivery:
        """Send a test event to one endpoint, whatever types it wants.

        Raises:
            UnknownEndpoint: there is none with that id.
            WrongState: it is disabled.
        """
        endpoint = await self.endpoints.get(endpoint_id)
        self._require_enabled(endpoint)
        data = codec.dumps({"endpoint": endpoint.id, "message": "If you can read this, deliveries arrive."})
        event = new_event(TEST, f"test-{new_id()}", endpoint.owner, data, only=endpoint.id)
        stored = await self.jobs.emitter.emit(event)
        found, _ = await self.jobs.deliveries.page(Choice(event=stored.event.id), after=None, limit=1)
        return found[0]

    async def cancel(self, delivery_id: str) -> Delivery:
        """Have an open delivery end, and its job too. What is under way may still arrive.

        Raises:
            UnknownDelivery: there is none with that id.
            WrongState: it has ended.
        """
        before = await self.jobs.deliveries.get(delivery_id)
        delivery = await self.jobs.deliveries.abort(delivery_id)
        if delivery.state is not DeliveryState.ABORTED or before.state is not DeliveryState.PENDING:
            raise WrongState(f"delivery {delivery_id} is {delivery.state} already and cannot be cancelled")
        with contextlib.suppress(UnknownJob, WrongState):  # it was not enqueued yet, or ends by itself
            await self.app.client.cancel(delivery.job_id)
        await self._advance(delivery.endpoint_id)
        return delivery

    async def replay_one(self, delivery_id: str) -> Delivery:
        """Send a delivery again, whatever came of it.

        Raises:
            UnknownDelivery: there is none with that id.
            WrongState: it is open, or its endpoint is disabled.
        """
        delivery = await self.jobs.deliveries.get(delivery_id)
        self._require_enabled(await self.endpoints.get(delivery.endpoint_id))
        replayed = await self.jobs.deliveries.replay(Choice(delivery=delivery_id), limit=1)
        if not replayed:
            raise WrongState(f"delivery {delivery_id} is open: it is being sent. Cancel it first to start over")
        await send_again(self.jobs.emitter, self.jobs.deliveries, replayed)
        return await self.jobs.deliveries.get(delivery_id)

    async def replay(self, form: Replay) -> tuple[int, str | None]:
        """Send many deliveries again. Return how many, and the job that does it; None with `dry_run`, or without any.

        Raises:
            UnknownEndpoint, UnknownEvent: there is none with that id.
            WrongState: the endpoint is disabled.
        """
        if form.endpoint is not None:
            self._require_enabled(await self.endpoints.get(form.endpoint))
        if form.event is not None:
            await self.jobs.deliveries.event(form.event)
        now = await self.jobs.deliveries.now() + 1
        count = await self.jobs.deliveries.count(form.choice(now))
        if form.dry_run or not count:
            return count, None
        call = self.jobs.replay.call(changed_before=now, **form.arguments())
        return count, await self.app.client.enqueue(call, EnqueueOptions())

    def _check_url(self, url: str) -> None:
        self._guard.parse(url)

    async def _advance(self, endpoint_id: str) -> None:
        if endpoint_id in await self.jobs.deliveries.with_order({endpoint_id}):
            await self.jobs.emitter.advance([endpoint_id])

    def _require_enabled(self, endpoint: Endpoint) -> None:
        if not endpoint.enabled:
            raise WrongState(f"endpoint {endpoint.id} is disabled ({endpoint.disabled_reason}); enable it first")


def _secret(given: str | None, signature: Any) -> str:
    if given is None:
        return new_secret(signature)
    check_secret(given)
    return given
