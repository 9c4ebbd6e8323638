"""Webhooks: events, delivered to the endpoints of others as signed HTTP requests, again and again until they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from celeriac.families.webhooks.errors import SignatureInvalid
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

#: Public names, and the modules that have them. Each is imported when somebody asks for it.
_MODULES = {
    "IncomingEvent": "receiving",
    "Received": "receiving",
    "SignatureInvalid": "errors",
    "VerifiedEvent": "verifying",
    "receive": "receiving",
    "sign": "signing",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


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
