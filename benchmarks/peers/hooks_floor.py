"""The floor: a loop on aiohttp that signs and posts, as one would write it by hand. It keeps, logs and retries nothing.

python -m benchmarks.peers.hooks_floor URL SECRET ENDPOINTS EVENTS CONCURRENCY
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from uuid import uuid4

import aiohttp
import uvloop

from benchmarks.peers.hooks_payload import payload


async def main(url: str, secret: str, endpoints: int, events: int, concurrency: int) -> None:
    key = b64decode(secret.removeprefix("whsec_"))
    deliveries = _deliveries(url, endpoints, events)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for target, message_id, body in deliveries:
                at = int(time.time())
                signature = hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")
                headers = {
                    "content-type": "application/json",
                    "webhook-id": message_id,
                    "webhook-timestamp": str(at),
                    "webhook-signature": "v1," + b64encode(signature).decode(),
                }
                async with session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                    await response.read()

        await asyncio.gather(*(work() for _ in range(concurrency)))


def _deliveries(url: str, endpoints: int, events: int) -> Iterator[tuple[str, str, bytes]]:
    for number in range(events):
        event = {"type": "order.paid", "timestamp": "2026-01-01T00:00:00Z", "data": payload(number)}
        message_id, body = uuid4().hex, json.dumps(event).encode()
        for endpoint in range(endpoints):
            yield f"{url}/{endpoint}", message_id, body


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])))
