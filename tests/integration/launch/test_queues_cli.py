"""`celeriac queues`: how full queues are, on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import redis

from celeriac import Celeriac
from celeriac.cli import ExitCode
from celeriac.store.messages import deliveries, taking
from celeriac.store.messages.taking import Source
from celeriac.store.redis.runner import run_blocking
from tests.support.warm import run_celeriac
from tests.support.workers import ROOT


def _celeriac(broker_url: str, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CELERIAC_")}
    done = run_celeriac(*arguments, cwd=ROOT, environment={**clean, "CELERIAC_BROKER_URL": broker_url})
    assert done.returncode == ExitCode.OK, done.stderr
    return done.stdout


def _message(job_id: str) -> bytes:
    return json.dumps({"body": "", "headers": {"id": job_id, "task": "shop.send"}, "properties": {}}).encode()


def test_queues_are_listed_with_what_waits_is_delayed_and_is_held(broker: redis.Redis, broker_url: str) -> None:
    broker.hset("celeriac:job:old", "created", str(int((time.time() - 7200) * 1000)))
    broker.lpush("mail", _message("old"), _message("new"))
    broker.lpush("mail\x06\x163", _message("low"))
    broker.lpush("bills", _message("bill"))
    run_blocking(broker, deliveries.put_later("mail", "mail", _message("later"), int(time.time() * 1000) + 60_000))
    take = taking.take([Source("bills", ["bills"])], worker="w", receipt="w/1", count=1, lease_ms=60_000)
    run_blocking(broker, take)
    broker.sadd("_kombu.binding.declared", "declared\x06\x16\x06\x16declared")
    queues: list[dict[str, Any]] = json.loads(_celeriac(broker_url, "queues", "--json"))
    depths = {q["queue"]: (q["ready"], q["delayed"], q["held"]) for q in queues}
    assert depths == {"bills": (0, 0, 1), "celery": (0, 0, 0), "declared": (0, 0, 0), "mail": (3, 1, 0)}
    rows = [line.split("\t") for line in _celeriac(broker_url, "queues").splitlines()]
    assert rows[0] == ["queue", "ready", "delayed", "held", "oldest"]
    assert rows[-1] == ["mail", "3", "1", "0", "2h"]


async def test_jobs_of_one_queue_are_listed(app: Celeriac, broker_url: str) -> None:
    @app.job(name="one", queue="mail")
    async def one() -> None: ...

    @app.job(name="two")
    async def two() -> None: ...

    handle = await one.enqueue()
    await two.enqueue()
    shown = await asyncio.to_thread(_celeriac, broker_url, "jobs", "list", "--queue", "mail")
    head, row = shown.splitlines()
    assert head.split("\t")[:4] == ["id", "task", "state", "queue"]
    assert row.split("\t")[:4] == [handle.id, "one", "queued", "mail"]
