"""Leases that are renewed from outside: extended, never begun and never shortened."""

from __future__ import annotations

import redis

from celeriac.store import keys
from celeriac.store.messages import worker_leases
from celeriac.store.messages.worker_leases import extend, workers
from celeriac.store.redis.connection import connect
from celeriac.store.redis.runner import run_blocking


def _until(broker: redis.Redis, worker: str) -> float | None:
    return broker.zscore(keys.LEASES, worker)  # type: ignore[return-value]


def test_leases_are_extended_together(broker: redis.Redis) -> None:
    for worker in ("one", "two", "other"):
        run_blocking(broker, worker_leases.renew(worker, 1_000))
    before = _until(broker, "other")
    run_blocking(broker, extend(["one", "two"], 60_000))
    one, two, other = (_until(broker, worker) or 0 for worker in ("one", "two", "other"))
    assert one == two > other + 50_000
    assert other == before


def test_a_lease_that_was_given_up_is_not_begun_anew(broker: redis.Redis) -> None:
    run_blocking(broker, worker_leases.renew("late", 60_000))
    run_blocking(broker, worker_leases.reclaim(["late"]))
    run_blocking(broker, extend(["late"], 60_000))
    assert _until(broker, "late") is None
    assert run_blocking(broker, worker_leases.renew("late", 60_000)) is False  # so it learns of it


def test_a_longer_lease_is_not_shortened(broker: redis.Redis) -> None:
    run_blocking(broker, worker_leases.renew("patient", 600_000))
    before = _until(broker, "patient")
    run_blocking(broker, extend(["patient"], 1_000))
    assert _until(broker, "patient") == before


async def test_everyone_who_has_a_lease_is_known(broker: redis.Redis, broker_url: str) -> None:
    for worker in ("one", "two"):
        run_blocking(broker, worker_leases.renew(worker, 60_000))
    client = connect(broker_url, timeout=2)
    assert sorted(await workers(client)) == ["one", "two"]
    await client.aclose()
