"""The API of cleanups while a database or the broker is away: it says so, in time, and shows what it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import Settings
from tests.integration.cleaning.conftest import Shop, serving_cleanups
from tests.support.broker import fragile_broker
from tests.support.clock import FairClock, fair_clock
from tests.support.jobs_client import problem

pytestmark = pytest.mark.asyncio(loop_scope="session")
#: Seconds within which an absent database is reported, of a clock that stands while other processes have the machine.
#: The broker has a sixth less: the answer names who did not answer.
PROMISED, OF_BROKER = 2.0, 1.5
#: Seconds for what else the machine does meanwhile.
MARGIN = 1.0


@pytest_asyncio.fixture(loop_scope="session")
async def hasty(cleaning_settings: Settings, own_settings: dict[str, str]) -> AsyncGenerator[httpx2.AsyncClient]:
    """An API with the usual patience."""
    async with serving_cleanups(
        cleaning_settings.model_copy(update={"broker_timeout": OF_BROKER}), own_settings
    ) as api:
        yield api


@pytest.fixture
def clock() -> Iterator[FairClock]:
    with fair_clock() as clock:
        yield clock


async def test_a_database_that_is_away_hides_no_other_policy(
    hasty: httpx2.AsyncClient, shop: Shop, clock: FairClock
) -> None:
    began = clock()
    policies = {one["name"]: one for one in (await hasty.get("/cleanup/policies")).json()["policies"]}
    assert clock() - began < PROMISED + MARGIN
    assert set(policies) == {"old-orders", "names", "events", "waiting", "far-away", "mute"}
    assert policies["old-orders"]["unavailable"] is None and policies["old-orders"]["paused"] is False
    assert policies["far-away"]["unavailable"] and policies["far-away"]["paused"] is None
    assert policies["mute"]["unavailable"] == "it did not answer within 1.5 s"
    assert "secret-password" not in str(policies)


@pytest.mark.parametrize("policy", ["far-away", "mute"])
async def test_a_database_that_is_away_or_mute_is_a_problem_in_time(
    hasty: httpx2.AsyncClient, policy: str, clock: FairClock
) -> None:
    base = f"/cleanup/policies/{policy}"
    asked = [("GET", base), ("GET", f"{base}/runs"), ("GET", f"{base}/audit"), ("GET", "/cleanup/runs/unknown")]
    asked += [("POST", f"{base}/{what}") for what in ("runs", "pause", "resume")]
    began = clock()
    answers = await asyncio.gather(*(hasty.request(method, path) for method, path in asked))
    assert clock() - began < PROMISED + MARGIN
    for answer in answers:
        detail = problem(answer, 503, "database-unavailable")["detail"]
        assert "secret-password" not in detail


async def test_the_id_of_another_job_is_no_run_whatever_database_is_away(hasty: httpx2.AsyncClient) -> None:
    for path, body in (("/cleanup/policies/far-away/dry-run", None), ("/jobs/celeriac.echo", {"value": 1})):
        job = (await hasty.post(path, json=body)).json()
        problem(await hasty.get(f"/cleanup/runs/{job['id']}"), 404, "unknown-run")


async def test_a_broker_that_is_away_is_a_problem_in_time(
    cleaning_settings: Settings, own_settings: dict[str, str], shop: Shop, tmp_path: Path, clock: FairClock
) -> None:
    async with fragile_broker(tmp_path) as broker:
        settings = cleaning_settings.model_copy(
            update={"broker_url": SecretStr(broker.url), "broker_timeout": OF_BROKER}
        )
        async with serving_cleanups(settings, own_settings) as api:
            accepted = await api.post("/cleanup/policies/old-orders/dry-run")
            assert accepted.status_code == 202
            await broker.kill()
            for what in ("dry-run", "runs"):
                began = clock()
                problem(await api.post(f"/cleanup/policies/old-orders/{what}"), 503, "broker-unavailable")
                assert clock() - began < PROMISED + MARGIN
            shown = await api.get("/cleanup/policies/old-orders")
            assert shown.status_code == 200
