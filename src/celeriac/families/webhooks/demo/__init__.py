"""Demo of webhooks: 1,000 events to 10 receivers each. One is dead, one is slow, one answers 500 twice first."""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from celeriac.demo import PATIENCE_S, Demo, DemoFailed, Outcome, client_of
from celeriac.families.webhooks.demo.receivers import DEAD, NAMES, Receivers

#: Requests to the API at a time.
_AT_A_TIME = 32
#: Delays of a demo, which nobody waits three days for. The dead receiver's deliveries are exhausted soon.
_SCHEDULE = "0.3,0.5,1,2"
_LOOK_EVERY_S = 0.2


class WebhooksDemo(Demo):
    """A demo that sends events, and compares what the receivers have counted with what was to come."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--events", type=_count, default=1000, metavar="N", help="events to send (default: 1000)")

    def __init__(self, options: Namespace) -> None:
        self._events: int = options.events
        self._receivers = Receivers()

    @asynccontextmanager
    async def surroundings(self) -> AsyncGenerator[Mapping[str, str]]:
        async with self._receivers:
            yield {"CELERIAC_WEBHOOK_ALLOW": "127.0.0.1", "CELERIAC_WEBHOOK_SCHEDULE": _SCHEDULE}

    async def run(self, api: str, console: Console) -> Outcome:
        async with client_of(api) as client:
            await self._add_endpoints(client)
            console.print(f"POST /webhooks/endpoints → {len(NAMES)} endpoints, of which one is dead")
            began = time.monotonic()
            ids = await self._send(client)
            console.print(f"POST /webhooks/events → {len(ids)} events accepted in {time.monotonic() - began:.1f} s")
            await self._follow(console, ids)
            seconds = time.monotonic() - began
        return self._outcome(set(ids), seconds)

    async def _add_endpoints(self, client: httpx2.AsyncClient) -> None:
        """Add an endpoint for each receiver. All want all events."""
        for name in NAMES:
            body = {"url": self._receivers.url(name), "event_types": ["order.*"], "concurrency": 50}
            answer = await _call(client, "POST", "/webhooks/endpoints", json=body)
            self._receivers.secrets[name] = str(answer["secret"])

    async def _send(self, client: httpx2.AsyncClient) -> list[str]:
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def send(number: int) -> str:
            event = {"type": "order.paid", "payload": {"order": number}, "id": f"order-{number}"}
            async with gate:
                return str((await _call(client, "POST", "/webhooks/events", json=event))["id"])

        return await asyncio.gather(*map(send, range(self._events)))

    async def _follow(self, console: Console, ids: list[str]) -> None:
        """Show what each receiver has got, until all but the dead one have everything."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bars:
            shown: dict[str, TaskID] = {name: bars.add_task(name, total=len(ids)) for name in NAMES}
            before, since = 0, time.monotonic()
            while True:
                got = {name: len(self._receivers.taken[name]) for name in NAMES}
                for name in NAMES:
                    bars.update(shown[name], completed=got[name])
                if all(got[name] >= len(ids) for name in NAMES if name != DEAD):
                    return
                if sum(got.values()) > before:
                    before, since = sum(got.values()), time.monotonic()
                if time.monotonic() - since > PATIENCE_S:
                    raise DemoFailed(f"nothing has come for {PATIENCE_S:g} s")
                await asyncio.sleep(_LOOK_EVERY_S)

    def _outcome(self, ids: set[str], seconds: float) -> Outcome:
        counted, to_living = self._receivers, len(ids) * (len(NAMES) - 1)
        delivered = sum(len(taken) for taken in counted.taken.values())
        complete = all(ids == set(counted.taken[name]) for name in NAMES if name != DEAD)
        ok = complete and not counted.duplicates and not counted.unsigned
        return Outcome(
            ok=ok,
            summary=(
                f"{delivered:,} of {to_living:,} deliveries to living receivers arrived in {seconds:.1f} s, "
                f"{counted.duplicates} duplicates, {counted.unsigned} unsigned (counted by the receivers); "
                f"{len(ids):,} wait for the dead one"
            ),
            seconds=seconds,
            facts={
                "events": len(ids),
                "deliveries": len(ids) * len(NAMES),
                "delivered": delivered,
                "duplicates": counted.duplicates,
                "unsigned": counted.unsigned,
            },
        )


async def _call(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    response = await client.request(method, path, **options)
    if response.is_error:
        raise DemoFailed(f"{method} {path}: the API answered {response.status_code}: {response.text}")
    return dict(response.json())


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000_000:
        raise ArgumentTypeError("between 1 and 1,000,000")
    return number
