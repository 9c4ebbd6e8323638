"""How soon does a sender have the answer to its webhook?

Senders sign and post events at a steady rate, each over a connection that it keeps, and wait for the 202 that says that
the event is stored. The server is uvicorn in a process of its own. The floor is a route that reads the body and
answers; `receive` verifies it, validates it, and makes a job of it. Figures are of single answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.harness import Bench
from benchmarks.peers.hooks_payload import payload
from benchmarks.support.environments import ROOT
from benchmarks.support.options import Options
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from celeriac.core.ids import new_id
from celeriac.families.webhooks.signing import new_secret, sign

_RATE = 50.0  # events a second
_WARM_UP = 50


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("webhooks_received", "from a webhook to its answer", "ms (p95)", bases=("floor",))
    events = options.scaled(500, 100)
    return await rounds(bench, options, ["floor", "receive"], lambda row: _measure(row, events))


async def _measure(path: str, events: int) -> Sample:
    secret = new_secret()
    async with fresh_server() as server, _shop(server.url, secret) as url, aiohttp.ClientSession() as session:

        async def send(number: int, due: float) -> float:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            body = json.dumps({"type": "order.paid", "data": payload(number)}).encode()
            headers = {**sign(new_id(), int(time.time()), body, [secret]), "content-type": "application/json"}
            began = time.perf_counter()
            async with session.post(f"{url}/{path}", data=body, headers=headers) as answer:
                await answer.read()
            if answer.status != 202:
                raise WrongRun(f"the answer was {answer.status}")
            return 1000 * (time.perf_counter() - began)

        for number in range(_WARM_UP):
            await send(number, 0)
        began = time.monotonic()
        waits = sorted(await asyncio.gather(*(send(n, began + n / _RATE) for n in range(events))))
    return Sample(waits[events * 95 // 100], {"p50 ms": waits[events // 2], "max ms": waits[-1]})


@asynccontextmanager
async def _shop(broker_url: str, secret: str) -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peers.hooks_shop", broker_url, secret),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None, "it has a pipe"
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()
