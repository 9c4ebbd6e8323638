"""How fast are webhooks delivered, and does a dead endpoint delay the others?

*whole*: events are emitted to ten endpoints while a worker delivers them, with a process for each core as
`celeriac worker` has, or with one: events stored, a job for each delivery, signed requests, the log of attempts, all on
SQLite and the broker. The floor is a loop on aiohttp in one process that signs and posts, with as many requests at a
time; it stores nothing. Time is from the first event to the last arrival. *CPU ms* is that of all processes but the
receiver, for each delivery, with the whole log written.

*steady*: the same at a rate that the worker can do easily, with ten live endpoints, and with nine and one that takes
requests and never answers. *p95 ms* is from the emission of an event to its arrival at live endpoints.

*wide*: one event for 10,000 endpoints.

The receiver is a process of its own, which counts each message, and verifies one signature in twenty.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from pydantic import SecretStr
from sqlalchemy import insert

from benchmarks.harness import Bench
from benchmarks.peers.hooks_payload import payload
from benchmarks.support.environments import ROOT
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.place import folder_for
from benchmarks.support.procfs import cpu_seconds, tree
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from celeriac import Celeriac, Settings
from celeriac.core.ids import new_id
from celeriac.families.webhooks import WebhookSettings, WebhooksFamily
from celeriac.families.webhooks.deliveries import Choice
from celeriac.families.webhooks.forms import NewEndpoint
from celeriac.families.webhooks.model import DeliveryState
from celeriac.families.webhooks.signing import new_secret
from celeriac.families.webhooks.tables import endpoint_table
from celeriac.settings import as_environment, environment_with
from celeriac.worker import create_app

_ENDPOINTS = 10
#: Requests at a time to one endpoint: what the family does unless it is told otherwise.
_CONCURRENCY = 10
_EMITTING = 20
_RATE = 20.0  # events a second
_DEADLINE_S = 180.0
_LOOK_S = 0.1


@dataclass(frozen=True)
class Plan:
    """One row: so many events to so many endpoints, of which some are dead. `rate` is events a second; 0: no limit.

    `shards` is how many processes the worker has.
    """

    events: int
    endpoints: int = _ENDPOINTS
    dead: int = 0
    rate: float = 0.0
    shards: int = 1

    @property
    def expected(self) -> int:
        return self.events * (self.endpoints - self.dead)


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench(
        "webhooks", "webhooks from their events to a receiver", "deliveries/s", better="higher", bases=("floor",)
    )
    many, steady = options.scaled(1500, 100), options.scaled(200, 60)
    plans = {
        "whole: floor": Plan(many),
        "whole: celeriac": Plan(many, shards=options.processes),
        "whole: celeriac, one process": Plan(many),
        "steady: none dead": Plan(steady, rate=_RATE),
        "steady: 1 of 10 dead": Plan(steady, dead=1, rate=_RATE),
        "wide: celeriac": Plan(1, endpoints=options.scaled(10_000, 500)),
    }
    return await rounds(bench, options, list(plans), lambda row: _measure(row, plans[row]))


async def _measure(row: str, plan: Plan) -> Sample:
    secret = new_secret()
    async with _sink(secret) as sink:
        spent = await (_floor if row == "whole: floor" else _celeriac)(sink, plan, secret)
        counts = await sink.counts()
    if counts["messages"] != plan.expected or counts["requests"] != plan.expected or counts["unsigned"]:
        raise WrongRun(f"of {plan.expected} deliveries, the receiver counted {counts}")
    more = {"CPU ms": 1000 * spent / plan.expected, "p50 ms": counts["p50"], "p95 ms": counts["p95"]}
    return Sample(plan.expected / counts["seconds"], more)


@dataclass(frozen=True)
class _Sink:
    """The receiver."""

    url: str

    async def counts(self) -> dict[str, float]:
        def ask() -> dict[str, float]:
            with urlopen(f"{self.url}/counts") as answer:
                return json.loads(answer.read())

        return await asyncio.to_thread(ask)

    async def wait(self, messages: int) -> None:
        """Wait until so many messages have come."""
        give_up = time.monotonic() + _DEADLINE_S
        while (counts := await self.counts())["messages"] < messages:
            if time.monotonic() > give_up:
                raise RunFailed(f"of {messages} deliveries, the receiver counted {counts}")
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def _sink(secret: str) -> AsyncGenerator[_Sink]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peers.hooks_sink", secret), stdout=pipe, cwd=ROOT
    )
    assert process.stdout is not None, "it has a pipe"
    try:
        yield _Sink(f"http://127.0.0.1:{int(await process.stdout.readline())}")
    finally:
        process.kill()
        await process.wait()


async def _floor(sink: _Sink, plan: Plan, secret: str) -> float:
    """Run the loop, and return its CPU time."""
    numbers = map(str, (plan.endpoints, plan.events, plan.endpoints * _CONCURRENCY))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peers.hooks_floor", sink.url, secret, *numbers), cwd=ROOT
    )
    await sink.wait(plan.expected)
    spent = cpu_seconds([process.pid])
    if await process.wait():
        raise RunFailed(f"the floor ended with {process.returncode}")
    return spent


async def _celeriac(sink: _Sink, plan: Plan, secret: str) -> float:
    """Emit the events, wait until all is delivered and logged, and return the CPU time that it took."""
    with folder_for(100_000_000) as folder:
        async with fresh_server() as server, _working(folder, server.url, plan.shards) as (app, worker):
            family = app.family(WebhooksFamily)
            await _add_endpoints(app, sink, plan, secret)
            await _warm_up(family, sink)
            pids = [*tree(worker), server.pid, os.getpid()]
            before = cpu_seconds(pids)
            await _emit(family, plan)
            await sink.wait(plan.expected)
            await _wait_for_log(family, plan)
            return cpu_seconds(pids) - before


async def _add_endpoints(app: Celeriac, sink: _Sink, plan: Plan, secret: str) -> None:
    paths = [f"{'dead' if number < plan.dead else ''}{number}" for number in range(plan.endpoints)]
    forms = [NewEndpoint(url=f"{sink.url}/{path}", event_types=["order.*"]) for path in paths]
    forms.append(NewEndpoint(url=f"{sink.url}/warm", event_types=["warm.up"]))
    rows = [
        {
            **form.columns(),
            **{"id": new_id(), "secrets": [{"secret": secret, "expires_at": None}], "enabled": True},
            **{"failures": 0, "trips": 0, "created_at": 0, "updated_at": 0},
        }
        for form in forms
    ]
    await app.database.write(lambda connection: connection.execute(insert(endpoint_table), rows))


async def _warm_up(family: WebhooksFamily, sink: _Sink) -> None:
    """Have one event delivered, so that everything is loaded."""
    await family.emit("warm.up", {})
    give_up = time.monotonic() + _DEADLINE_S
    while not (await sink.counts())["warm"]:
        if time.monotonic() > give_up:
            raise RunFailed("the worker delivers nothing")
        await asyncio.sleep(_LOOK_S)


async def _emit(family: WebhooksFamily, plan: Plan) -> None:
    """Emit all events: at the plan's rate, or some at a time as fast as they are accepted."""
    if plan.rate:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(plan.events):
                await asyncio.sleep(max(0.0, began + number / plan.rate - time.monotonic()))
                group.create_task(_emit_one(family, number))
        return
    numbers = iter(range(plan.events))

    async def some() -> None:
        for number in numbers:
            await _emit_one(family, number)

    await asyncio.gather(*(some() for _ in range(_EMITTING)))


async def _emit_one(family: WebhooksFamily, number: int) -> None:
    await family.emit("order.paid", payload(number))


async def _wait_for_log(family: WebhooksFamily, plan: Plan) -> None:
    give_up = time.monotonic() + _DEADLINE_S
    delivered = Choice(states=[DeliveryState.DELIVERED])
    while (count := await family.jobs.deliveries.count(delivered)) < plan.expected + 1:  # with that of the warm-up
        if time.monotonic() > give_up:
            raise RunFailed(f"of {plan.expected} deliveries, {count} are written down")
        await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def _working(folder: Path, broker_url: str, shards: int) -> AsyncGenerator[tuple[Celeriac, int]]:
    """Run a worker of so many processes. Yield the same application here, and the worker's process id."""
    settings = Settings(broker_url=SecretStr(broker_url), data_dir=folder / "data")
    app = create_app(settings, {"webhooks": WebhookSettings(webhook_allow=("127.0.0.1",))})
    variables = {**as_environment(settings), "CELERIAC_WEBHOOK_ALLOW": "127.0.0.1"}
    with (folder / "log").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "celeriac", "worker", "--shards", str(shards), "--loglevel", "warning"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment_with(variables),
        )
    try:
        yield app, worker.pid
    finally:
        for pid in tree(worker.pid):  # a request to a dead endpoint would keep a worker that ends in good order
            os.kill(pid, signal.SIGKILL)
        await worker.wait()
        await app.client.aclose()
        app.close()  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)
