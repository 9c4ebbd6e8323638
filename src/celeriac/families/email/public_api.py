"""The routes of bulk mail that need no API key: unsubscribe links, and providers of mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from celeriac.families.email.inbound.api import add_provider_routes
from celeriac.families.email.inbound.sources import providers
from celeriac.families.email.unsubscribe_api import add_unsubscribe_routes
from celeriac.http.route import bounded_route

if TYPE_CHECKING:
    from celeriac.families.email import EmailFamily

#: What strangers may send, in bytes. A click has 26, a batch of a provider's events some hundred thousand.
_MOST = 1_048_576


def create_public_router(family: EmailFamily, **options: Any) -> APIRouter:
    """Make the public routes. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["email"])
    router = APIRouter(route_class=bounded_route(_MOST), **options)
    tokens = family.stationery.tokens
    add_unsubscribe_routes(router, family.feedback, tokens)
    add_provider_routes(router, family.feedback, providers(family.settings, tokens))
    return router
