"""An API with records in pages, in each style of pagination, that misbehaves as it is told to, or by a seed.

In a process of its own, `python -m tests.support.sync_api --records 100000 --faults 0.02 --seed 1` prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import socket
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
from aiohttp import web

#: One answer that was told: `(status, headers, body)`, or a misbehaviour of `_misbehave`.
Told = tuple[int, dict[str, str], Any] | str
#: What a seed chooses from.
PASSING = ("429", "500", "reset", "cut", "truncated")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_DRIP_S = 0.02


def order(number: int) -> dict[str, Any]:
    """The order of a number, from 1."""
    return {
        "id": number,
        "customer": {"id": number % 10 + 1, "name": f"Customer {number % 10 + 1}"},
        "status": ("open", "paid", "sent")[number % 3],
        "total": number * 1.25,
        "updated_at": (EPOCH + timedelta(minutes=number)).isoformat(),
        "note": None if number % 5 else f"Überweisung {number}",
    }


@dataclass
class SyncApi:
    """Serves `/{style}/orders`, `/customers`, `/customers/{id}/orders`, `/token`, and what `told` has.

    Styles: link, next_url, cursor, header_cursor, page, offset, keyset, inclusive.

    Attributes:
        orders: the records.
        told: answers by path, one for each request; the last one stays. `None` in it: as usual.
        faults: the share of requests that fail by the seed; the same request fails at most twice.
        accepts: tokens or secrets that requests need in `Authorization` or `key`; empty: none is needed.
        token_life: seconds; each token of `/token` is accepted for as many requests as `token_uses`.
        requests: each path with its query, in the order in which they came.
        skew: seconds by which its clock is ahead.
    """

    orders: list[dict[str, Any]] = field(default_factory=lambda: [order(number) for number in range(1, 251)])
    page_size: int = 100
    told: dict[str, list[Told | None]] = field(default_factory=dict[str, list[Told | None]])
    faults: float = 0.0
    seed: int = 1
    accepts: set[str] = field(default_factory=set[str])
    token_life: Any = 3600
    token_uses: int = 1_000_000
    skew: float = 0.0
    requests: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    port: int = 0
    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _by_path: Counter[str] = field(default_factory=Counter[str])
    _failed: Counter[str] = field(default_factory=Counter[str])
    _uses: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _pages: dict[tuple[int, int], bytes] = field(default_factory=dict[tuple[int, int], bytes])
    _issued: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[str]:
        """The requests for a path."""
        return [each for each in self.requests if each.partition("?")[0] == path]

    def __post_init__(self) -> None:
        self._open.set()

    @contextmanager
    def holding(self) -> Generator[None]:
        """Let all requests wait, for the length of the block."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    @contextmanager
    def telling(self, path: str, *told: Told | None) -> Generator[None]:
        """Have a path answer as it is told, for the length of the block."""
        before = self.told.get(path)
        self.told[path], self._by_path[path] = list(told), 0
        try:
            yield
        finally:
            if before is None:
                del self.told[path]
            else:
                self.told[path], self._by_path[path] = before, 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        path = request.path
        self.requests.append(request.raw_path)
        self.headers.append(dict(request.headers))
        await self._open.wait()
        told = self.told.get(path)
        if told is not None:
            behaviour = told[min(self._by_path[path], len(told) - 1)]
            self._by_path[path] += 1
            if isinstance(behaviour, str):
                return await self._misbehave(request, behaviour)
            if behaviour is not None:
                return self._say(*behaviour)
        if path == "/token":
            return await self._issue(request)
        if not self._is_allowed(request):
            return self._say(401, {}, {"error": "who are you?"})
        if fault := self._fault_of(request):
            return await self._misbehave(request, fault)
        return self._serve(request)

    def _fault_of(self, request: web.Request) -> str | None:
        """The fault of this request. It depends on nothing but the seed, the request and how often it came."""
        if not self.faults:
            return None
        key = str(request.rel_url)
        chance = random.Random(f"{self.seed} {key} {self._failed[key]}")
        if self._failed[key] >= 2 or chance.random() >= self.faults:
            return None
        self._failed[key] += 1
        return chance.choice(PASSING)

    def _is_allowed(self, request: web.Request) -> bool:
        if not self.accepts:
            return True
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = given or request.headers.get("X-Key", "") or request.query.get("key", "")
        self._uses[given] += 1
        return given in self.accepts and (not given.startswith("token-") or self._uses[given] <= self.token_uses)

    async def _issue(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self._issued += 1
        token = f"token-{self._issued}"
        self.accepts = {each for each in self.accepts if not each.startswith("token-")} | {token}
        body = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_life}
        return self._say(200, {}, {name: value for name, value in body.items() if value is not None})

    def _serve(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts == ["customers"]:
            return self._numbered(request, [{"id": n, "name": f"Customer {n}"} for n in range(1, 11)])
        if len(parts) == 3 and parts[0] == "customers" and parts[2] == "orders":
            mine = [each for each in self.orders if str(each["customer"]["id"]) == parts[1]]
            return self._numbered(request, self._since(request, mine))
        style = {
            "link": self._link,
            "next_url": self._next_url,
            "cursor": self._cursor,
            "header_cursor": self._header_cursor,
            "page": self._numbered,
            "offset": self._offset,
            "keyset": self._keyset,
            "inclusive": self._inclusive,
        }.get(parts[0])
        if style is None or parts[1:] != ["orders"]:
            return self._say(404, {}, {"error": "there is no such thing"})
        return style(request, self._since(request, self.orders))

    def _since(self, request: web.Request, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        since = request.query.get("since")
        if since is None:
            return orders
        least = datetime.fromisoformat(since)
        return [each for each in orders if datetime.fromisoformat(each["updated_at"]) >= least]

    def _slice(self, request: web.Request, start: int) -> tuple[int, int]:
        return start, start + int(request.query.get("limit", self.page_size))

    def _link(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        start, end = self._slice(request, int(request.query.get("from", 0)))
        headers = {}
        if end < len(orders):
            headers["Link"] = f'<{request.path}?from={end}>; rel="next", <{request.path}>; rel="first"'
        return self._say(200, headers, self._encoded(orders, start, end))

    def _next_url(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        start, end = self._slice(request, int(request.query.get("from", 0)))
        url = f"{self.url}{request.path}?from={end}" if end < len(orders) else None
        return self._say(200, {}, {"items": orders[start:end], "paging": {"next": url}})

    def _cursor(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        start, end = self._slice(request, int(request.query.get("cursor", "c0")[1:]))
        token = f"c{end}" if end < len(orders) else None
        return self._say(200, {}, {"data": {"orders": orders[start:end]}, "meta": {"next": token}})

    def _header_cursor(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        start, end = self._slice(request, int(request.headers.get("X-After", 0)))
        return self._say(200, {"X-Next": str(end)} if end < len(orders) else {}, orders[start:end])

    def _numbered(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        page = int(request.query.get("page", 1))
        start, end = self._slice(request, (page - 1) * int(request.query.get("limit", self.page_size)))
        return self._say(200, {}, self._encoded(orders, start, end))

    def _offset(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        start, end = self._slice(request, int(request.query.get("offset", 0)))
        return self._say(200, {}, {"items": orders[start:end], "more": end < len(orders)})

    def _keyset(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        after = int(request.query.get("after", 0))
        found = [each for each in orders if each["id"] > after]
        return self._say(200, {}, found[: self._slice(request, 0)[1]])

    def _inclusive(self, request: web.Request, orders: list[dict[str, Any]]) -> web.StreamResponse:
        since = datetime.fromisoformat(request.query.get("from", EPOCH.isoformat()))
        found = [each for each in orders if datetime.fromisoformat(each["updated_at"]) >= since]
        start, end = self._slice(request, int(request.query.get("skip", 0)))
        return self._say(200, {}, found[start:end])

    def _encoded(self, orders: list[dict[str, Any]], start: int, end: int) -> bytes:
        """A page as JSON, made once: the server's own work must not be what a benchmark measures."""
        if orders is not self.orders:
            return orjson.dumps(orders[start:end])
        if (start, end) not in self._pages:
            self._pages[start, end] = orjson.dumps(orders[start:end])
        return self._pages[start, end]

    def _say(self, status: int, headers: dict[str, str], body: Any) -> web.Response:
        content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=self.skew), usegmt=True)
        return web.Response(
            status=status, headers={"Content-Type": "application/json", "Date": date} | headers, body=content
        )

    async def _misbehave(self, request: web.Request, behaviour: str) -> web.StreamResponse:
        whole = self._serve(request) if behaviour in ("cut", "truncated", "drip", "gzip", "deflate") else None
        content = bytes(whole.body) if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b"[]"
        match behaviour:
            case "429":
                return self._say(429, {"Retry-After": "0"}, {"error": "slowly"})
            case "500":
                return self._say(500, {}, "<h1>Oh no</h1>")
            case "truncated":
                return self._say(200, {}, content[: len(content) // 2])
            case "html":
                return self._say(200, {"Content-Type": "text/html"}, "<html>Please log in</html>")
            case "gzip":
                return self._say(200, {"Content-Encoding": "gzip"}, gzip.compress(content))
            case "deflate":
                return self._say(200, {"Content-Encoding": "deflate"}, zlib.compress(content)[2:-4])
            case "bomb":
                bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
                return self._say(200, {"Content-Encoding": "gzip"}, bomb)
            case "hang":
                await self.released.wait()
                return self._say(200, {}, [])
            case "reset" | "close":
                return self._break_off(request, reset=behaviour == "reset")
            case "cut":
                response = await self._begin(request, len(content))
                await response.write(content[: len(content) // 2])
                return self._break_off(request, reset=False, response=response)
            case "drip":
                response = await self._begin(request, len(content))
                for at in range(len(content)):
                    await response.write(content[at : at + 1])
                    await asyncio.sleep(_DRIP_S)
                return response
            case _:
                raise AssertionError(behaviour)

    async def _begin(self, request: web.Request, size: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(size)})
        await response.prepare(request)
        return response

    def _break_off(
        self, request: web.Request, *, reset: bool, response: web.StreamResponse | None = None
    ) -> web.StreamResponse:
        """End the connection, with RST in place of FIN if it is to be a reset."""
        transport = request.transport
        assert transport is not None
        if reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
        return response or web.Response()


@asynccontextmanager
async def sync_api(**options: Any) -> AsyncGenerator[SyncApi]:
    """Serve for the length of the block."""
    port = options.pop("port", 0)
    api = SyncApi(**options)
    runner = web.ServerRunner(web.Server(api.answer, access_log=None), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        api.port = runner.addresses[0][1]
        yield api
    finally:
        api.released.set()
        await runner.cleanup()


async def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--page-size", type=int, default=100)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    orders = [order(number) for number in range(1, asked.records + 1)]
    async with sync_api(
        port=asked.port, orders=orders, page_size=asked.page_size, faults=asked.faults, seed=asked.seed
    ) as api:
        print(api.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
