"""Webhooks: events, delivered to the endpoints of others as signed HTTP requests, again and again until they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from celeriac.core.findings import Finding
from celeriac.core.lazy_names import lazy_names
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.database.migrations import Migrations
    from celeriac.demo import Demo
    from celeriac.families.webhooks.actions import Actions
    from celeriac.families.webhooks.endpoints import Endpoints
    from celeriac.families.webhooks.errors import SignatureInvalid
    from celeriac.families.webhooks.model import Event
    from celeriac.families.webhooks.receiving import IncomingEvent, Received, receive
    from celeriac.families.webhooks.signing import sign
    from celeriac.families.webhooks.verifying import VerifiedEvent, verify

__all__ = [
    "IncomingEvent",
    "Received",
    "SignatureInvalid",
    "VerifiedEvent",
    "WebhookSettings",
    "WebhooksFamily",
    "receive",
    "sign",
    "verify",
]

__getattr__ = lazy_names(
    __name__,
    {
        "receiving": ("IncomingEvent", "Received", "receive"),
        "errors": ("SignatureInvalid",),
        "verifying": ("VerifiedEvent", "verify"),
        "signing": ("sign",),
    },
)


class WebhooksFamily(JobFamily):
    """The webhooks family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "webhooks"
    summary = "Events for the endpoints of others, as signed HTTP requests"
    extra = "celeriac[webhooks]"
    requires = ("aiohttp", "cryptography", "sqlalchemy", "alembic")
    settings_class: ClassVar[type[FamilySettings]] = WebhookSettings

    def __init__(self, host: Host) -> None:
        from celeriac.families.webhooks.jobs import register

        self.host = host
        self.settings = cast(WebhookSettings, host.own)
        self.jobs = register(host.app, lambda: host.database, self.settings)

    async def emit(
        self,
        event_type: str,
        payload: Any,
        *,
        id: str | None = None,  # noqa: A002 (it is what the field is called everywhere)
        owner: str | None = None,
    ) -> Event:
        """Send an event to the endpoints that want its type, and return it. It is stored before this returns.

            await app.family(WebhooksFamily).emit("invoice.paid", {"invoice": 7}, id="invoice-7-paid")

        Args:
            event_type: words with dots between them.
            payload: anything that JSON has.
            id: letters, digits, _ and -. The same event again with the same id is sent once: give one in a job, which
                may run again. Endpoints get it as `webhook-id`. Default: a random one.
            owner: send it to the endpoints of this owner. Default: to those without one.

        Raises:
            EventInvalid: names what to change.
            IdempotencyConflict: another event has the id.
            DatabaseUnavailable: nothing was accepted.
        """
        from celeriac.families.webhooks.emitting import checked

        most = self.settings.webhook_max_event_bytes
        event = checked(event_type, payload, event_id=id, owner=owner, most_bytes=most)
        return (await self.jobs.emitter.emit(event)).event

    @cached_property
    def endpoints(self) -> Endpoints:
        """The endpoints that are stored."""
        from celeriac.families.webhooks.endpoints import Endpoints

        return Endpoints(self.host.database)

    @cached_property
    def actions(self) -> Actions:
        """What its API and its commands do."""
        from celeriac.families.webhooks.actions import Actions

        return Actions(self.host.app, self.jobs, lambda: self.endpoints, self.settings)

    @classmethod
    def migrations(cls) -> Migrations:
        from celeriac.database.migrations import Migrations

        return Migrations(cls.name, "celeriac.families.webhooks:migrations", head="0001")

    @classmethod
    def commands(cls) -> Typer:
        from celeriac.families.webhooks.cli import webhooks

        return webhooks

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        from celeriac.families.webhooks.checks import check_allowed

        return [check_allowed(own)]

    @classmethod
    def demo(cls) -> type[Demo]:
        from celeriac.families.webhooks.demo import WebhooksDemo

        return WebhooksDemo

    def router(self, **options: Any) -> APIRouter:
        from celeriac.families.webhooks.api import create_webhooks_router

        return create_webhooks_router(self, **options)
