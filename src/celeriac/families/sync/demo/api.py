"""The API that the demo reads: orders of a shop, in pages. By a seed, some requests fail as APIs do.

It is a process of its own, `python -m celeriac.families.sync.demo.api RECORDS`. It prints its port, and ends when its
input does.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from collections import Counter

import orjson
from aiohttp import web

from celeriac.families.sync.demo.orders import PAGE_SIZE, order, pages_of

#: The share of requests that fail, and how.
_FAULTS = 0.02
_HOW = ("429", "500", "reset")
_SEED = 12


class ShopApi:
    """Serves `/orders` in pages, each with the token of the next, and `/counts`, which says what it has seen.

    It holds requests for the second half until `POST /go-on`, so that the reader is killed in the middle, however fast
    it is.
    """

    def __init__(self, records: int) -> None:
        self._records = records
        self._requests = 0
        self._served: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self._dice = random.Random(_SEED)  # noqa: S311 (it decides about faults)
        self._client_port = 0
        self._half = pages_of(records) // 2
        self._is_holding = asyncio.Event()
        self._goes_on = asyncio.Event()

    def application(self) -> web.Application:
        """Return the application to serve."""
        application = web.Application()
        application.router.add_get("/orders", self._orders)
        application.router.add_get("/counts", self._counts)
        application.router.add_post("/go-on", self._go_on)
        return application

    async def _orders(self, request: web.Request) -> web.Response:
        self._requests += 1
        transport = request.transport
        assert transport is not None
        if self._dice.random() < _FAULTS:
            return self._fail(request, self._dice.choice(_HOW))
        page = int(request.query.get("after", "p0").removeprefix("p"))
        if page >= self._half:
            self._client_port = transport.get_extra_info("peername")[1]
            self._is_holding.set()
            await self._goes_on.wait()
        if transport.is_closing():
            return web.Response()  # its reader was killed while it waited: nobody is served
        first, last = page * PAGE_SIZE, min((page + 1) * PAGE_SIZE, self._records)
        following = f"p{page + 1}" if last < self._records else None
        self._served[page] += 1
        body = orjson.dumps({"orders": [order(n + 1) for n in range(first, last)], "next": following})
        return web.Response(body=body, content_type="application/json")

    def _fail(self, request: web.Request, how: str) -> web.Response:
        self._faults[how] += 1
        if how == "429":
            return web.Response(status=429, headers={"Retry-After": "1"})
        if how == "reset":
            assert request.transport is not None
            linger = struct.pack("ii", 1, 0)  # have the kernel send RST in place of FIN
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.transport.abort()
        return web.Response(status=500)

    async def _counts(self, request: web.Request) -> web.Response:
        """Answer at once, or with `half` when a request for the second half is held."""
        if "half" in request.query:
            await self._is_holding.wait()
        counts = {
            "requests": self._requests,
            "pages": len(self._served),
            "repeated_pages": self._served.total() - len(self._served),
            "faults": dict(self._faults),
            "client_port": self._client_port,
        }
        return web.json_response(counts)

    async def _go_on(self, _: web.Request) -> web.Response:
        self._goes_on.set()
        return web.Response(status=204)


async def serve(records: int) -> None:
    """Serve until the input ends, which it does with the process that has started this one."""
    runner = web.AppRunner(ShopApi(records).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
