"""The routes of bulk mail that need no API key: unsubscribe links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from celeriac.families.email.unsubscribe_api import add_unsubscribe_routes
from celeriac.http.route import bounded_route

if TYPE_CHECKING:
    from celeriac.families.email import EmailFamily

#: What strangers may send, in bytes. A click is 26.
_MOST = 65_536


def create_public_router(family: EmailFamily, **options: Any) -> APIRouter:
    """Make the public routes. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["email"])
    router = APIRouter(route_class=bounded_route(_MOST), **options)
    add_unsubscribe_routes(router, family.feedback, family.stationery.tokens)
    return router
