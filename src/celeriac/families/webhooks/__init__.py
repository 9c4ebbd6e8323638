"""Webhooks: events, delivered to the endpoints of others as signed HTTP requests, again and again until they arrive."""

from __future__ import annotations

from typing import ClassVar

from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.family import FamilySettings, Host, JobFamily

__all__ = ["WebhookSettings", "WebhooksFamily"]


class WebhooksFamily(JobFamily):
    """The webhooks family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "webhooks"
    summary = "Events for the endpoints of others, as signed HTTP requests"
    extra = "celeriac[webhooks]"
    requires = ("aiohttp", "cryptography", "sqlalchemy", "alembic")
    settings_class: ClassVar[type[FamilySettings]] = WebhookSettings

    def __init__(self, host: Host) -> None:
        from typing import cast

        self.host = host
        self.settings = cast(WebhookSettings, host.own)
