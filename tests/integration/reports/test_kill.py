"""A worker that is killed while it makes a report: another makes it, and nothing half-made is to be seen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from celeriac import Settings
from celeriac.families.reports import ReportsSettings
from celeriac.families.reports.request import NamedRef, ReportRequest
from celeriac.settings import as_environment
from tests.conftest import on_database
from tests.support.report_shop import ReportShop
from tests.support.workers import Worker, dismiss, start_worker

pytestmark = pytest.mark.slow
DATABASE = 14


@pytest.fixture
def settings_here(shop_settings: Settings, valkey_url: str, tmp_path: Path) -> Settings:
    url = on_database(valkey_url, DATABASE)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return shop_settings.model_copy(update={"broker_url": SecretStr(url), "data_dir": tmp_path})


@pytest.fixture
def start_here(
    settings_here: Settings, report_settings: dict[str, Any], tmp_path: Path
) -> Iterator[Callable[[str], Worker]]:
    started: list[Worker] = []
    own = {f"CELERIAC_{name.upper()}": str(value) for name, value in report_settings.items()}
    environment = {**os.environ, **as_environment(settings_here), **own}

    def start(name: str) -> Worker:
        application = "tests.support.report_shop:app"
        started.append(start_worker(application, environment, tmp_path / f"{name}.log", pool="asyncio", name=name))
        return started[-1]

    yield start
    dismiss(started)


async def test_a_report_of_a_killed_worker_is_made_by_another(
    settings_here: Settings, report_settings: dict[str, Any], start_here: Callable[[str], Worker]
) -> None:
    shop = ReportShop(settings_here, ReportsSettings(**report_settings))
    source = NamedRef(name="numbers", parameters={"count": 300_000})
    first = start_here("first")
    handle = await shop.reports.job.enqueue(ReportRequest(source=source, formats=["csv", "html"]))
    async for event in handle.events():
        if event.name == "progress" and event.data["message"] == "csv":
            break
    first.kill()
    assert await shop.app.storage.artifacts.of(handle.id) == []
    start_here("second")
    made = await handle.result(timeout=120)
    record = await handle.status()
    assert (made.rows, record.attempt) == (300_000, 1)
    assert sorted(a.name for a in await shop.app.storage.artifacts.of(handle.id)) == ["report.csv", "report.html"]
    await shop.app.client.aclose()
    await asyncio.to_thread(shop.app.close)
