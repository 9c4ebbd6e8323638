"""The route class of our routers: bounded bodies, and problems instead of bare errors, in whatever app they live."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from celeriac.http.problems import ProblemError, as_problem, problem

log = logging.getLogger("celeriac.http")


class BodyTooLarge(ProblemError):
    """The body exceeds what the endpoint accepts."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, "body-too-large", f"the body is larger than the {limit:,} bytes accepted here")


class NothingMore(Exception):
    """Answers 204: what was asked for has ended, and asking again is of no use."""


def bounded_route(max_body_bytes: int) -> type[APIRoute]:
    """A route class that refuses bodies beyond `max_body_bytes`, announced or not, before they are in memory."""

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    check_announced_length(request, max_body_bytes)
                    return await handle(Request(request.scope, bounded(request.receive, max_body_bytes)))
                except NothingMore:
                    return Response(status_code=204)
                except Exception as error:
                    response = as_problem(error)
                    if response is not None:
                        return response
                    log.exception("an error in %s %s", request.method, request.url.path)
                    return problem(500, "internal", "an error on the server's side; it has been logged")

            return answer

    return BoundedRoute


def check_announced_length(request: Request, limit: int) -> None:
    """Refuse by `Content-Length` alone."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 15 or int(announced) > limit:
        raise BodyTooLarge(limit)


def bounded(receive: Receive, limit: int) -> Receive:
    """Count what arrives, for bodies whose length was not announced, or not truly."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise BodyTooLarge(limit)
        return message

    return counted
