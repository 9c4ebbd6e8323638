"""What happens to reports beside the happy path: killed workers, beat, another application, a database, a bucket."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from pydantic import SecretStr

from celeriac import JobFailed, Settings
from celeriac.families.reports import ReportsSettings
from celeriac.families.reports.outcome import ReportOutcome
from celeriac.families.reports.rendering import Layout
from celeriac.families.reports.request import NamedRef, ReportRequest, SqlRef
from celeriac.settings import as_environment
from tests.integration.reports.conftest import BANK
from tests.support.buckets import bucket_url, s3_server
from tests.support.fixtures import Databases, on_database
from tests.support.postgres import PostgresServer
from tests.support.report_shop import ReportShop
from tests.support.waiting import eventually
from tests.support.warm import WarmProcess
from tests.support.workers import ROOT, Worker, dismiss, start_worker

__all__ = ["bucket_url", "s3_server"]

pytestmark = pytest.mark.slow
ORDERS = NamedRef(name="orders")
ENDLESS = "#for a in range(9000) { for b in range(9000) { for c in range(9000) { let d = a } } }"


class Here:
    """A broker, a storage and settings of one test, and the processes that it starts."""

    def __init__(self, settings: Settings, own: dict[str, Any], folder: Path) -> None:
        self.settings = settings
        self.own = own
        self._folder = folder
        self.shops: list[ReportShop] = []
        self.workers: list[Worker] = []
        self.others: list[WarmProcess] = []

    def shop(self, name: str = "shop", **changed: Any) -> ReportShop:
        own = ReportsSettings(**{**self.own, **changed})
        self.shops.append(ReportShop(self.settings, own, name))
        return self.shops[-1]

    def worker(self, application: str = "app", *options: str, **changed: Any) -> Worker:
        name = f"{application}-{len(self.workers)}"
        place = f"tests.support.report_shop:{application}"
        log = self._folder / f"{name}.log"
        self.workers.append(
            start_worker(place, self._environment(**changed), log, pool="asyncio", name=name, options=options)
        )
        return self.workers[-1]

    def beat(self, application: str) -> None:
        command = ["celery", "-A", f"tests.support.report_shop:{application}", "beat", "--pidfile="]
        command.append(f"--schedule={self._folder / 'schedule'}")
        log = self._folder / "beat.log"
        self.others.append(WarmProcess("module", command, cwd=ROOT, environment=self._environment(), log=log))

    def _environment(self, **changed: Any) -> dict[str, str]:
        own = {f"CELERIAC_{name.upper()}": str(value) for name, value in {**self.own, **changed}.items()}
        return {**os.environ, **as_environment(self.settings), **own}


@pytest.fixture
async def here(
    shop_settings: Settings, report_settings: dict[str, Any], valkey_url: str, tmp_path: Path
) -> AsyncGenerator[Here]:
    url = on_database(valkey_url, Databases.REPORTS_ALONE)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    settings = shop_settings.model_copy(update={"broker_url": SecretStr(url), "data_dir": tmp_path})
    here = Here(settings, dict(report_settings), tmp_path)
    yield here
    for process in here.others:
        process.end()
    dismiss(here.workers)
    for shop in here.shops:
        await shop.app.client.aclose()
        await asyncio.to_thread(shop.app.close)


@pytest.fixture
async def bank(postgres_server: PostgresServer) -> AsyncGenerator[tuple[str, Any]]:
    """The URL of a ledger for one who may only read, and a connection of its owner."""
    url = await postgres_server.create_database()
    owner: Any = await asyncpg.connect(url.replace("+asyncpg", ""))
    await owner.execute(
        """
        CREATE TABLE ledger (id int, day date, total numeric(10, 2));
        INSERT INTO ledger SELECT n, date '2026-01-01' + n % 90, n * 1.5 FROM generate_series(1, 5000) n;
        DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT ON ledger TO reader;
        """
    )
    yield url.replace("celeriac@", "reader@"), owner
    await owner.close()


async def test_a_report_of_a_killed_worker_is_made_by_another(here: Here) -> None:
    shop = here.shop()
    source = NamedRef(name="numbers", parameters={"count": 300_000})
    first = here.worker()
    handle = await shop.reports.job.enqueue(ReportRequest(source=source, formats=["csv", "html"]))
    async with aclosing(handle.events()) as events:
        async for event in events:
            if event.name == "progress" and event.data["message"] == "csv":
                break
    first.kill()
    assert await shop.app.storage.artifacts.of(handle.id) == []
    here.worker()
    made = await handle.result(timeout=120)
    record = await handle.status()
    assert (made.rows, record.attempt) == (300_000, 1)
    assert sorted(a.name for a in await shop.app.storage.artifacts.of(handle.id)) == ["report.csv", "report.html"]


async def test_a_template_that_never_ends_is_stopped_by_time(here: Here) -> None:
    here.worker(reports_timeout=5)
    handle = await here.shop().reports.job.enqueue(ReportRequest(source=ORDERS, layout=Layout(template=ENDLESS)))
    with pytest.raises(JobFailed, match="exceeded its time limit of 5 s; its process was killed"):
        await handle.result(timeout=120)


async def test_beat_has_a_report_made_each_second(here: Here) -> None:
    shop = here.shop()
    here.worker("timed")
    here.beat("timed")

    async def made() -> list[Any]:
        page, _ = await shop.app.client.page(
            limit=100, matches=lambda record: record.task == shop.reports.job.name and record.state == "succeeded"
        )
        return page if len(page) >= 3 else []

    found = await eventually(made, "beat has had three reports made")
    outcomes = [ReportOutcome.model_validate(await shop.app.client.outcome(record.id)) for record in found]
    assert {outcome.rows for outcome in outcomes} == {2000}
    assert any(file.reused for outcome in outcomes for file in outcome.files)


async def test_a_failed_report_succeeds_when_it_is_retried(here: Here, tmp_path: Path) -> None:
    shop = here.shop()
    here.worker()
    marker = tmp_path / "marker"
    source = NamedRef(name="flaky", parameters={"marker": str(marker)})
    handle = await shop.reports.job.enqueue(ReportRequest(source=source, formats=["csv"]))
    async for _ in handle.events():
        pass
    failed = await handle.status()
    assert (failed.state, failed.error and failed.error.message) == ("failed", "not yet")
    assert await shop.app.storage.artifacts.of(handle.id) == []
    await asyncio.to_thread(marker.touch)
    await shop.app.client.retry(handle.id)
    assert (await handle.result(timeout=60)).rows == 2
    (file,) = await shop.app.storage.artifacts.of(handle.id)
    assert b"".join([piece async for piece in shop.app.storage.artifacts.stream(file)]).split() == [
        *(b"number", b"1", b"2")
    ]


@pytest.mark.alone
async def test_postgres_is_read_by_a_worker_and_its_query_ends_when_the_report_is_cancelled(
    here: Here, bank: tuple[str, Any]
) -> None:
    url, owner = bank
    connections = here.own["reports_connections"].replace(BANK, f"bank={url}")
    shop = here.shop(reports_connections=connections)
    here.worker(reports_connections=connections)
    made = await (await shop.reports.job.enqueue(ReportRequest(source=NamedRef(name="ledger")))).result(timeout=60)
    assert made.rows == 5000

    async def running() -> int:
        return int(
            await owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'celeriac reports' AND state = 'active'"
            )
        )

    slow = NamedRef(name="ledger", parameters={"seconds": 0.5})  # for each of the 5,000 rows
    handle = await shop.reports.job.enqueue(ReportRequest(source=slow))
    await eventually(running, "Postgres runs the query")
    asked = time.monotonic()
    await handle.cancel()
    async for _ in handle.events():
        pass
    assert (await handle.status()).state == "cancelled"
    await eventually(_none(running), "Postgres has stopped the query")
    assert time.monotonic() - asked < 3, "seconds from the request to the end of the query"


async def test_a_report_goes_on_after_a_deadlock_of_the_database(here: Here, bank: tuple[str, Any]) -> None:
    url, owner = bank
    connections = here.own["reports_connections"].replace(BANK, f"bank={url}")
    shop = here.shop(reports_connections=connections)
    here.worker(reports_connections=connections)
    await owner.execute(
        """
        CREATE TABLE state (locked bool);
        INSERT INTO state VALUES (true);
        CREATE FUNCTION checked(id int) RETURNS bool LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            IF (SELECT locked FROM state) THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
            RETURN true;
        END $$
        """
    )
    source = SqlRef(sql="SELECT id, total FROM ledger WHERE checked(id)", connection="bank")
    handle = await shop.reports.job.enqueue(ReportRequest(source=source, formats=["csv"]))
    async with aclosing(handle.events()) as events:
        async for event in events:
            if event.name == "state" and event.data["state"] == "retrying":
                break
    record = await handle.status()
    assert record.error and (record.error.type, "deadlock detected" in record.error.message) == (
        *("SourceUnavailable", True),
    )
    await owner.execute("UPDATE state SET locked = false")
    assert (await handle.result(timeout=60)).rows == 5000
    assert (await handle.status()).attempt >= 2


def _none(count: Callable[[], Any]) -> Callable[[], Any]:
    async def none() -> bool:
        return not await count()

    return none


async def test_two_applications_on_one_broker_make_only_their_own_reports(here: Here) -> None:
    shop, other = here.shop(), here.shop("other")
    here.worker("other")
    theirs = await other.reports.job.enqueue(ReportRequest(source=ORDERS, formats=["csv"]))
    ours = await shop.reports.job.enqueue(ReportRequest(source=ORDERS, formats=["csv"]))
    assert (await theirs.result(timeout=60)).rows == 2000
    async for _ in ours.events():
        pass
    record = await ours.status()  # the only worker of the queue is theirs, and does not know the job
    assert (record.state, record.error and record.error.type) == ("failed", "NotRegistered")
    assert await shop.app.storage.artifacts.of(ours.id) == []


async def test_applications_with_a_queue_each_leave_reports_to_each_other(here: Here) -> None:
    shop, other = here.shop(reports_queue="shop"), here.shop("other", reports_queue="other")
    for application, shown in (("app", "shop"), ("other", "other")):
        here.worker(application, f"--queues={shown}", reports_queue=shown)
    handles = [
        await family.reports.job.enqueue(ReportRequest(source=ORDERS, formats=["csv"])) for family in (shop, other) * 5
    ]
    assert {(await handle.result(timeout=60)).rows for handle in handles} == {2000}


async def test_a_report_is_kept_in_a_bucket_and_found_there_again(here: Here, bucket_url: str) -> None:
    here.settings = here.settings.model_copy(update={"storage_url": SecretStr(bucket_url)})
    shop = here.shop()
    here.worker()
    request = ReportRequest.model_validate(
        {"source": {"name": "orders"}, "formats": ["pdf", "csv"], "preview": True, "password": "a-secret"}
    )
    call = shop.reports.call(await shop.reports.sealed(request))
    first = await shop.app.client.result((await shop.app.client.submit(call)).id, timeout=60)
    again = await shop.app.client.result((await shop.app.client.submit(call)).id, timeout=60)
    assert [file["reused"] for file in first["files"]] == [False, False]
    assert [file["reused"] for file in again["files"]] == [False, True]  # an encrypted file is made anew
    kept = {artifact.name: artifact for artifact in await shop.app.storage.artifacts.of(again["id"])}
    assert set(kept) == {"report.pdf", "report.csv", "preview.png"}
    content = b"".join([piece async for piece in shop.app.storage.artifacts.stream(kept["report.csv"])])
    assert content.count(b"\n") == 2001
