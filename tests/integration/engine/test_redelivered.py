"""A job hears that a worker that was lost had it before."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac import Settings
from tests.support import later_jobs
from tests.support.broker import fragile_broker
from tests.support.fixtures import LEASE, worker_environment
from tests.support.workers import start_worker


@pytest.mark.slow
async def test_a_job_whose_worker_was_killed_knows_it(tmp_path: Path) -> None:
    async with fragile_broker(tmp_path) as broker:
        jobs = later_jobs.create(Settings(broker_url=SecretStr(broker.url), lease=LEASE))
        environment = worker_environment("tests.support.later_jobs", broker.url, tmp_path)
        handle = await jobs.die_once.enqueue()
        first = start_worker("tests.support.celery_main", environment, tmp_path / "1.log", pool="asyncio", until=None)
        first.wait_end()
        second = start_worker("tests.support.celery_main", environment, tmp_path / "2.log", pool="asyncio")
        try:
            assert await handle.result(timeout=60) == "again"
        finally:
            second.kill()
            await jobs.app.client.aclose()
