"""A local API with pages of records, as third parties have them. It prints its port, and ends with its input.

python -m benchmarks.peers.sync_api RECORDS PER_PAGE

`GET /orders?after=N` answers `{"data": […], "next": M}`, without `next` on the last page.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
import uvloop
from aiohttp import web

_CITIES = ("Berlin", "Graz", "Lyon", "Malmö", "Porto", "Turin", "Utrecht", "Zürich")


def record(number: int) -> dict[str, Any]:
    """A record with the types that there are: numbers, texts, a boolean, nothing, a list, a record in it."""
    return {
        "id": number,
        "customer": f"customer{number % 9973}@celeriac.example",
        "amount": round(number * 0.37 % 1000, 2),
        "paid": number % 3 == 0,
        "note": None if number % 5 else f"Please deliver order {number} to the neighbours, as we are on holiday",
        "address": {"street": f"Main Street {number % 200}", "city": _CITIES[number % len(_CITIES)]},
        "tags": ["new", "web"] if number % 4 else [],
        "updated_at": f"2026-{1 + number // 86_400 % 12:02}-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:00Z",
    }


async def main(records: int, per_page: int) -> None:
    known: dict[int, bytes] = {}

    async def orders(request: web.Request) -> web.Response:
        after = int(request.query.get("after", "0"))
        if after not in known:
            page: dict[str, Any] = {"data": [record(n) for n in range(after + 1, min(after + per_page, records) + 1)]}
            if after + per_page < records:
                page["next"] = after + per_page
            known[after] = orjson.dumps(page)
            if len(known) > 2000:  # a million records are not kept
                known.pop(next(iter(known)))
        return web.Response(body=known[after], content_type="application/json")

    api = web.Application()
    api.router.add_get("/orders", orders)
    runner = web.AppRunner(api, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
