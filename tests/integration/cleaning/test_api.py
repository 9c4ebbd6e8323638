"""Cleanups over HTTP, as a user asks for them, with a real worker on a real database."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest
import redis

from celeriac import Celeriac, Settings
from celeriac.families.cleanup import CleanupFamily, CleanupSettings
from tests.integration.cleaning.conftest import ITEMS, OLD, ORDERS, RECENT, Shop
from tests.support.cleanup_api import CleanupApi
from tests.support.jobs_client import problem
from tests.support.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


def archived(result: dict[str, Any], table: str) -> list[dict[str, str]]:
    (file,) = [Path(one["path"]) for one in result["files"] if one["table"] == table]
    with gzip.open(file, "rt", newline="") as text:
        return list(csv.DictReader(text))


async def test_a_policy_is_looked_at_run_and_read_about(api: CleanupApi, shop: Shop) -> None:
    preview = await api.result((await api.call("POST", "/policies/old-orders/dry-run", ok=202))["id"])
    assert [(step["table"], step["rows"]) for step in preview["steps"]] == [
        ("order_items", ITEMS * OLD),
        ("orders", OLD),
    ]
    assert preview["rows"] == OLD and len(shop.ids()) == ORDERS
    result = await api.run("old-orders")
    assert (result["state"], result["rows"]) == ("done", {"orders": OLD, "orders.order_items": ITEMS * OLD})
    assert shop.ids() == RECENT
    assert {int(row["id"]) for row in archived(result, "orders")} == set(range(1, ORDERS + 1)) - RECENT
    assert len(archived(result, "order_items")) == ITEMS * OLD
    shown = await api.show("old-orders")
    assert (shown["paused"], shown["job"], shown["unavailable"]) == (False, None, None)
    assert shown["definition"]["where"]["age"]["column"] == "placed_at"
    run = await api.call("GET", f"/runs/{result['run']}")
    assert run == shown["last_run"]
    assert (run["state"], run["rows"], run["who"]) == ("done", result["rows"], "api:ann")


async def test_the_rows_of_a_dry_run_do_not_stand_in_the_log(api: CleanupApi, shared_worker: Worker) -> None:
    before = len(shared_worker.log)
    job = (await api.call("POST", "/policies/names/dry-run", ok=202))["id"]
    assert "n1@example.com" in str((await api.result(job))["sample"])
    line = shared_worker.wait_for_log(rf".*{job}\] succeeded in .*")
    assert line.endswith(": {, ...}")
    assert "example.com" not in shared_worker.log[before:]


async def test_runs_and_the_audit_come_in_pages(api: CleanupApi) -> None:
    first = await api.run("old-orders", rows=300)
    second = await api.run("old-orders")
    assert (first["state"], second["state"]) == ("budget", "done")
    runs = await pages(api, "/policies/old-orders/runs", "runs", limit=1)
    assert [run["id"] for run in runs] == [second["run"], first["run"]]
    chunks = await pages(api, "/policies/old-orders/audit", "chunks", limit=3)
    assert [chunk["run"] for chunk in chunks] == sorted(
        (c["run"] for c in chunks), key=[second["run"], first["run"]].index
    )
    for result in (first, second):
        own = await pages(api, "/policies/old-orders/audit", "chunks", limit=4, run=result["run"])
        assert own == [chunk for chunk in chunks if chunk["run"] == result["run"]]
        assert [chunk["number"] for chunk in own] == list(range(len(own), 0, -1))
        sums = {table: sum(c["rows"] for c in own if c["table"] == table) for table in result["rows"]}
        assert sums == result["rows"]
    assert sum(sum(result["rows"].values()) for result in (first, second)) == OLD * (1 + ITEMS)


async def pages(api: CleanupApi, path: str, what: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await api.call("GET", path, params={**params, **cursor})
        assert len(page[what]) <= params["limit"]
        found += page[what]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def test_a_run_is_paused_in_the_middle_and_goes_on(api: CleanupApi, shop: Shop) -> None:
    job = await api.begin("events")
    await api.progressed(job)
    paused = await api.call("POST", "/policies/events/pause")
    assert paused["paused"] is True
    left = len(shop.ids("events"))
    assert 0 < left < 1000
    assert (await api.result(job))["state"] == "paused"
    assert len(shop.ids("events")) == left
    refused = await api.client.post("/cleanup/policies/events/runs", json={})
    assert "events is paused" in problem(refused, 409, "wrong-state")["detail"]
    resumed = await api.call("POST", "/policies/events/resume")
    assert resumed["paused"] is False
    result = await api.result(resumed["begun"])
    assert (result["state"], result["rows"]) == ("done", {"events": left})
    again = await api.call("POST", "/policies/events/resume")
    assert again["begun"] is None


async def test_a_forced_pause_cancels_the_job(api: CleanupApi, shop: Shop) -> None:
    job = await api.begin("events")
    await api.progressed(job)
    paused = await api.call("POST", "/policies/events/pause", json={"force": True})
    left = len(shop.ids("events"))
    assert (await api.jobs.finished(job))["state"] == "cancelled"
    assert len(shop.ids("events")) == left
    assert (paused["paused"], paused["job"]) == (True, None)
    assert (await api.call("GET", f"/runs/{job}"))["state"] in ("paused", "cancelled")
    await api.call("POST", "/policies/events/resume", json={"run": False})


async def test_a_run_that_is_cancelled_while_it_waits_gives_its_lock_back_although_other_databases_are_away(
    api: CleanupApi, shop: Shop
) -> None:
    flag = shop.file.with_name("stop")
    flag.touch()
    job = await api.begin("waiting")
    await api.jobs.reached(job, "retrying")
    assert (await api.jobs.post(f"/{job}/cancel")).status_code in (200, 202)
    shown = await api.show("waiting")
    assert (shown["job"], shown["last_run"]["state"]) == (None, "cancelled")
    flag.unlink()
    assert (await api.run("waiting"))["state"] == "done"
    assert shop.ids("events") == set()


async def test_a_schedule_goes_on_after_a_run_that_somebody_else_has_cancelled_while_it_waited(
    api: CleanupApi, shop: Shop, cleaning_settings: Settings, own_settings: dict[str, str]
) -> None:
    stranger, beat = Celeriac("stranger", settings=cleaning_settings), Celeriac("beat", settings=cleaning_settings)
    family = beat.include_family(CleanupFamily, CleanupSettings.model_validate(own_settings))
    flag = shop.file.with_name("stop")
    flag.touch()
    try:
        job = await api.begin("waiting")
        await api.jobs.reached(job, "retrying")
        await stranger.client.cancel(job)  # which knows of no lock
        flag.unlink()
        scheduled = await beat.client.submit(family.run.call(policy="waiting"))
        assert (await api.result(scheduled.id))["state"] == "done"
        assert (await api.call("GET", f"/runs/{job}"))["state"] == "cancelled"
    finally:
        flag.unlink(missing_ok=True)
        await stranger.client.aclose()
        await beat.client.aclose()


async def test_a_run_begins_at_once_after_the_broker_has_lost_the_job_that_waited(
    api: CleanupApi, shop: Shop, cleaning_settings: Settings
) -> None:
    flag = shop.file.with_name("stop")
    flag.touch()
    try:
        lost = await api.begin("waiting")
        await api.jobs.reached(lost, "retrying")
        assert cleaning_settings.broker_url is not None
        with redis.Redis.from_url(cleaning_settings.broker_url.get_secret_value()) as broker:
            broker.flushall()
    finally:
        flag.unlink()
    assert (await api.run("waiting"))["state"] == "done"
    assert shop.ids("events") == set()
    assert (await api.call("GET", f"/runs/{lost}"))["state"] == "failed"


async def test_a_policy_that_runs_is_not_run_again_and_a_key_yields_the_same_job(api: CleanupApi) -> None:
    with_key = {"Idempotency-Key": "tonight"}
    first = await api.call("POST", "/policies/events/runs", ok=202, json={}, headers=with_key)
    await api.progressed(first["id"])
    refused = await api.client.post("/cleanup/policies/events/runs", json={})
    assert first["id"] in problem(refused, 409, "wrong-state")["detail"]
    refused = await api.client.post("/cleanup/policies/events/runs", json={}, headers={"Idempotency-Key": "another"})
    assert first["id"] in problem(refused, 409, "wrong-state")["detail"]
    again = await api.call("POST", "/policies/events/runs", ok=202, json={}, headers=with_key)
    assert again["id"] == first["id"]
    changed = await api.client.post("/cleanup/policies/events/runs", json={"rows": 7}, headers=with_key)
    problem(changed, 409, "idempotency-conflict")
    cancelled = await api.client.post(f"/jobs/{first['id']}/cancel")
    assert cancelled.status_code in (200, 202)
    assert (await api.jobs.finished(first["id"]))["state"] == "cancelled"


async def test_rows_are_anonymised(api: CleanupApi, shop: Shop) -> None:
    result = await api.run("names")
    assert result["rows"] == {"customers": 10}
    people = shop.query("SELECT id, name, email FROM customers WHERE left_shop = 1")
    assert people == [(n, None, f"user-{n}@example.invalid") for n in range(1, 21, 2)]
    assert len(shop.query("SELECT 1 FROM customers WHERE name LIKE 'Name %'")) == 10


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": 1.5}, "rows"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": 1e300}, "seconds"),
        ({"table": "orders; DROP TABLE orders"}, "table"),
        ({"where": "1 = 1"}, "where"),
        ({"rows": 100_001}, "the policy allows 100000"),
        ({"seconds": 3601}, "the policy allows 3600"),
    ],
)
async def test_a_run_can_only_ask_for_less(api: CleanupApi, form: dict[str, Any], fault: str) -> None:
    answer = await api.client.post("/cleanup/policies/old-orders/runs", json=form)
    assert answer.status_code == 422 and fault in answer.json()["detail"]


@pytest.mark.parametrize("name", ["nothing", "old-orders; DROP TABLE orders", "..%2Fold-orders", "%00", "x" * 100])
@pytest.mark.parametrize("path", ["", "/runs", "/audit", "/dry-run", "/pause", "/resume"])
async def test_a_policy_that_does_not_exist_is_a_problem(api: CleanupApi, name: str, path: str) -> None:
    method = "POST" if path in ("/dry-run", "/pause", "/resume") else "GET"
    answer = await api.client.request(method, f"/cleanup/policies/{name}{path}")
    assert answer.status_code in (404, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_run_that_does_not_exist_is_a_problem(api: CleanupApi) -> None:
    answer = await api.client.get("/cleanup/policies/old-orders/audit", params={"run": "nothing"})
    assert answer.json() == {"chunks": [], "next": None}
    answer = await api.client.get("/cleanup/policies/old-orders/audit", params={"cursor": "1; DROP TABLE orders"})
    problem(answer, 422, "invalid-request")


async def test_archived_rows_are_put_back_and_into_another_table(api: CleanupApi, shop: Shop) -> None:
    before = {table: set(shop.query(f"SELECT * FROM {table}")) for table in ("orders", "order_items")}
    run = (await api.run("old-orders"))["run"]
    asked = {"policy": "old-orders", "run": run}
    result = await restored(api, **asked, table="orders", into="old_orders")
    assert result == {"old_orders": {"rows": OLD, "restored": OLD, "skipped": 0}}
    assert set(shop.query("SELECT * FROM old_orders")) == before["orders"] - set(shop.query("SELECT * FROM orders"))
    result = await restored(api, **asked)
    assert {table: one["restored"] for table, one in result.items()} == {"orders": OLD, "order_items": ITEMS * OLD}
    for table, rows in before.items():
        assert set(shop.query(f"SELECT * FROM {table}")) == rows
    result = await restored(api, **asked)
    assert {table: one["skipped"] for table, one in result.items()} == {"orders": OLD, "order_items": ITEMS * OLD}
    refused = await api.jobs.finished(await api.restore(**asked, table="orders", on_conflict="fail"))
    assert refused["error"]["type"] == "ArchiveRefused"
    await _look_at_records_of_restores(api, run)


async def _look_at_records_of_restores(api: CleanupApi, run: str) -> None:
    """Who has restored what, and how many rows, is in the list of runs and in the audit; the policy's run stays."""
    runs = await pages(api, "/policies/old-orders/runs", "runs", limit=50)
    *restores, cleaned = runs
    assert (cleaned["id"], cleaned["kind"]) == (run, "clean")
    assert {(one["kind"], one["who"]) for one in restores} == {("restore", "api:ann")}
    everything = {"orders": OLD, "order_items": ITEMS * OLD}
    assert [(one["state"], one["rows"]) for one in reversed(restores)] == [
        ("done", {"old_orders": OLD}),
        ("done", everything),
        ("done", {}),
        ("failed", {}),
    ]
    assert "ArchiveRefused" in restores[0]["error"]
    chunks = await pages(api, "/policies/old-orders/audit", "chunks", limit=50, run=restores[2]["id"])
    assert {chunk["action"] for chunk in chunks} == {"restore"}
    assert all(chunk["file"] and chunk["file_sha256"] for chunk in chunks)
    sums = {table: sum(c["rows"] for c in chunks if c["table"] == table) for table in everything}
    assert sums == everything
    assert (await api.show("old-orders"))["last_run"]["id"] == run
    nothing = await api.jobs.finished(await api.restore(policy="old-orders", run=restores[2]["id"]))
    assert "has archived no rows" in nothing["error"]["message"]


async def restored(api: CleanupApi, **form: Any) -> dict[str, Any]:
    return dict((await api.result(await api.restore(**form)))["tables"])


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"into": "secrets", "table": "orders"}, "TableRefused: into: secrets may not be written"),
        ({"into": "orders; DROP TABLE orders", "table": "orders"}, "TableRefused"),
        ({"into": "old_orders"}, "ArchiveRefused: table: say which one to restore into old_orders"),
        ({"table": "customers"}, "ArchiveRefused: table: the policy has orders, orders.order_items"),
        ({"run": "nothing"}, "ArchiveRefused: run: nothing has archived no rows"),
        ({"run": None}, "ArchiveRefused: run: say which run to restore"),
        ({"policy": "names"}, "its action is anonymise"),
    ],
)
async def test_what_cannot_be_restored_is_refused(
    api: CleanupApi, shop: Shop, form: dict[str, Any], fault: str
) -> None:
    run = (await api.run("old-orders"))["run"]
    job = await api.jobs.finished(await api.restore(**{"policy": "old-orders", "run": run, **form}))
    assert job["state"] == "failed"
    assert fault in f"{job['error']['type']}: {job['error']['message']}"
    assert shop.ids() == RECENT


async def test_a_damaged_archive_is_not_restored(api: CleanupApi, shop: Shop) -> None:
    result = await api.run("old-orders")
    file = next(Path(one["path"]) for one in result["files"] if one["table"] == "orders")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    job = await api.jobs.finished(await api.restore(policy="old-orders", run=result["run"], table="orders"))
    assert job["error"]["type"] == "ArchiveDamaged" and file.name in job["error"]["message"]
    assert shop.ids() == RECENT
