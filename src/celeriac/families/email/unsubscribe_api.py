"""The public routes of unsubscribe links (RFC 8058).

Mail programs send the POST by themselves, without a session, a token of a form or an API key: the link is what
authorises it. Scanners of mails follow links, so a GET only shows a page and changes nothing.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from celeriac.families.email import unsubscribe_page as page
from celeriac.families.email.inbound.store import FeedbackStore, Recipient
from celeriac.families.email.stationery import NOBODY
from celeriac.families.email.tokens import Purpose, Tokens
from celeriac.http.problems import responses

_SOURCE = "link"
_PAGE: dict[str, Any] = {"content": {"text/html": {}}}
_PAGES: dict[int | str, dict[str, Any]] = {200: _PAGE, 404: {"description": "No link of ours", **_PAGE}}


def add_unsubscribe_routes(router: APIRouter, store: FeedbackStore, tokens: Tokens | None) -> None:
    """Add the routes to `router`. Without `tokens`, no link works."""

    async def recipient_of(token: str) -> Recipient | Response:
        """Return the recipient whose link it is, or the page of a link that is nobody's."""
        place = tokens.read(Purpose.UNSUBSCRIBE, token) if tokens is not None else None
        if place == NOBODY:
            return _page(page.sample())
        recipient = await store.recipient(*place) if place is not None else None
        return recipient or _page(page.unknown(), 404)

    @router.head("/unsubscribe/{token}", include_in_schema=False)
    @router.get(
        "/unsubscribe/{token}",
        summary="The page of an unsubscribe link",
        response_class=Response,
        responses={**_PAGES, **responses(422, 503)},
    )
    async def show_unsubscribe(token: str) -> Response:
        """Show a button. Nobody is unsubscribed by a GET, for programs that check mails follow links."""
        found = await recipient_of(token)
        return found if isinstance(found, Response) else _page(page.question(found.list_name))

    @router.post(
        "/unsubscribe/{token}",
        summary="Unsubscribe with one click",
        response_class=Response,
        responses={**_PAGES, **responses(413, 422, 503)},
    )
    async def unsubscribe(token: str, request: Request) -> Response:
        """What mail programs send (RFC 8058), and the button of the page. The body does not matter."""
        async for _ in request.stream():  # a client that is not listened to may not listen either
            pass
        found = await recipient_of(token)
        if isinstance(found, Response):
            return found
        await store.unsubscribe(found, _SOURCE)
        return _page(page.done(found.list_name))


def _page(html: str, status: int = 200) -> Response:
    return Response(html, status, page.HEADERS, media_type="text/html; charset=utf-8")
