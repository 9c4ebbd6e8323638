"""The route class of our routers: bounded bodies, strict JSON, and problems instead of bare errors."""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from celeriac.core.text import FAULT, not_unicode_at
from celeriac.http.problems import ProblemError, as_problem, method_not_allowed


class BodyTooLarge(ProblemError):
    """The body exceeds what the endpoint accepts."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, "body-too-large", f"the body is larger than the {limit:,} bytes accepted here")


class BodyTooSlow(ProblemError):
    """The client sends the body too slowly."""

    def __init__(self, detail: str, http_version: str) -> None:
        close = {"Connection": "close"} if http_version.startswith("1") else None  # HTTP/2 has no such header
        super().__init__(408, "body-too-slow", detail, headers=close)


class InvalidJson(ProblemError):
    """The body is not JSON as RFC 8259 defines it."""

    def __init__(self, fault: str) -> None:
        super().__init__(400, "invalid-json", f"the body is not valid JSON: {fault}")


class NothingMore(Exception):
    """Nothing will follow. The answer is 204, so that the client does not ask again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may come. Only the time counts in which the application waits for the client.

    Attributes:
        patience_s: how long nothing may come.
        min_rate: bytes that must come each second, on average over each `patience_s` seconds.
        longest_s: how long a whole body may take.
    """

    patience_s: float
    min_rate: int
    longest_s: float


def bounded_route(max_body_bytes: int, *, pace: Pace | None = None) -> type[APIRoute]:
    """Make a route class that refuses bodies above `max_body_bytes` before they fill memory.

    With `pace`, it also ends a request whose body comes too slowly. The server of `celeriac api` does so for every
    request; other servers wait for ever.

    It raises errors that have no problem again, so that the application handles and logs them as its own.
    """

    methods: defaultdict[str, set[str]] = defaultdict(set)  # of each path; each of them is a route of its own

    class BoundedRoute(APIRoute):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            methods[self.path] |= self.methods or set()

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    check_announced_length(request, max_body_bytes)
                    receive = bounded(request.receive, max_body_bytes)
                    if pace is not None:
                        receive = timed(receive, pace, request.scope["http_version"])
                    return await handle(StrictRequest(request.scope, receive))
                except (NothingMore, ClientDisconnect):  # nobody reads the answer to a client that has left
                    return Response(status_code=204)
                except Exception as error:
                    response = as_problem(error)
                    if response is None:
                        raise
                    return response

            return answer

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] in (self.methods or set()):
                await super().handle(scope, receive, send)
            else:
                await method_not_allowed(scope["method"], sorted(methods[self.path]))(scope, receive, send)

    return BoundedRoute


class StrictRequest(Request):
    """A request that reads JSON strictly. Python's reader accepts texts that others refuse, and fails on some."""

    async def json(self) -> Any:
        """Read the body as JSON.

        Raises:
            InvalidJson: it is not UTF-8 or not JSON, has a number that JSON lacks, or is nested too deeply.
            RequestValidationError: it is null, or a text in it is not valid Unicode. No model or job sees such a text.
        """
        try:
            text = (await self.body()).decode()
            value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except UnicodeDecodeError as error:
            raise InvalidJson(f"not UTF-8 at byte {error.start}") from None
        except RecursionError:
            raise InvalidJson("nested too deeply") from None
        except ValueError as error:
            raise InvalidJson(str(error)) from None
        if "\\u" in text and (path := not_unicode_at(value)) is not None:  # only an escape can mean a surrogate
            raise not_unicode("body", *path)
        if value is None:  # each of our bodies is an object; FastAPI before 0.151 takes null for no body at all
            raise RequestValidationError([{"loc": ("body",), "msg": "Input should be an object", "type": "dict_type"}])
        return value


def not_unicode(*loc: str | int) -> RequestValidationError:
    """Make the error for a text at `loc` that is not valid Unicode."""
    return RequestValidationError([{"loc": loc, "msg": FAULT, "type": "string_unicode"}])


def require_json(request: Request) -> None:
    """Refuse a body whose Content-Type is not JSON.

    Raises:
        ProblemError: 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    if has_body and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        shown = f"Content-Type {kind[:100]!r} is not understood" if kind else "the body has no Content-Type"
        raise ProblemError(415, "unsupported-media-type", f"{shown}; send JSON, with Content-Type: application/json")


def check_announced_length(request: Request, limit: int) -> None:
    """Refuse a body whose `Content-Length` exceeds `limit`, without reading it."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 15 or int(announced) > limit:
        raise BodyTooLarge(limit)


def bounded(receive: Receive, limit: int) -> Receive:
    """Count the bytes that arrive, for bodies with a missing or false `Content-Length`."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise BodyTooLarge(limit)
        return message

    return counted


def timed(receive: Receive, pace: Pace, http_version: str) -> Receive:
    """Refuse a body that comes more slowly than `pace`. Wait for what follows the body without end."""
    is_awaited, waited_s, lately_s, arrived = True, 0.0, 0.0, 0

    async def in_time() -> Message:
        nonlocal is_awaited, waited_s, lately_s, arrived
        if not is_awaited:
            return await receive()
        if lately_s >= pace.patience_s:  # looked at only now: what came last is kept
            if arrived < pace.min_rate * lately_s:
                raise BodyTooSlow(f"the body comes more slowly than {pace.min_rate:,} bytes a second", http_version)
            lately_s, arrived = 0.0, 0
        clock, left_s = asyncio.get_running_loop().time, pace.longest_s - waited_s
        began = clock()
        try:
            async with asyncio.timeout(min(pace.patience_s, left_s)):
                message = await receive()
        except TimeoutError:
            fault = f"nothing of the body has come for {pace.patience_s:g} s"
            if left_s < pace.patience_s:
                fault = f"the body has taken {pace.longest_s:g} s"
            raise BodyTooSlow(fault, http_version) from None
        waited_s, lately_s = waited_s + clock() - began, lately_s + clock() - began
        arrived += len(message.get("body", b""))
        is_awaited = bool(message.get("more_body"))
        return message

    return in_time


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is too large a number")
    return value
