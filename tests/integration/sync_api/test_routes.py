"""What a user does with syncs over HTTP: the real API, a real worker, and an API of others that is read."""

from __future__ import annotations

import asyncio
from datetime import datetime

import httpx2
import pytest

from celeriac import Celeriac, Settings
from celeriac.asgi import create_api
from celeriac.families.sync import SyncFamily, SyncSettings
from tests.support.api_server import NO_TLS, serving
from tests.support.jobs_client import problem
from tests.support.sync_api import SyncApi
from tests.support.syncs import Syncs
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
#: What asks the database of a sync.
ASKING = [
    *(("GET", path) for path in ("", "/runs", "/state", "/rejects")),
    *(("POST", path) for path in ("/runs", "/reset")),
]


async def test_syncs_are_listed_as_they_are_defined(syncs: Syncs) -> None:
    listed = {one["name"]: one for one in (await syncs.call("GET", "/syncs"))["syncs"]}
    assert list(listed) == ["away", "family", "shop", "slow", "untidy"]
    shop = listed["shop"]
    assert shop["defined_in"] == "shop.yaml"
    assert shop["schedules"] == ["every 86400 s"]
    (orders,) = shop["streams"]
    assert (orders["table"], orders["mode"], orders["cursor"]) == ("orders", "incremental", "updated_at")
    assert [one["table"] for one in listed["family"]["streams"]] == ["family_customers", "family_their_orders"]


async def test_no_secret_is_shown(syncs: Syncs) -> None:
    for path in ("/syncs", "/syncs/shop"):
        answer = await syncs.client.get(f"/sync{path}")
        assert "secret by mistake" not in answer.text
        assert "s3cret" not in answer.text
        assert "hidden-password" not in answer.text
    source = (await syncs.call("GET", "/syncs/shop"))["source"]
    assert source["auth"]["value"] == "env:SHOP_KEY"
    assert source["headers"] == {"X-Shop": "***"}


async def test_a_run_reads_all_pages_and_is_listed(syncs: Syncs, shop: SyncApi) -> None:
    response = await syncs.client.post("/sync/syncs/shop/runs", json={})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert (await syncs.ended(job["id"]))["state"] == "succeeded"
    outcome = (await syncs.result(job["id"]))["streams"]["orders"]
    assert outcome["in"] == outcome["written"] + outcome["rejected"]
    run = await syncs.call("GET", f"/runs/{job['id']}")
    assert (run["id"], run["sync"], run["state"], run["error"]) == (job["id"], "shop", "done", None)
    assert datetime.fromisoformat(run["started_at"]) <= datetime.fromisoformat(run["ended_at"])
    assert run["streams"]["orders"]["in"] == outcome["in"]
    assert syncs.rows("SELECT count(*), min(id), max(id) FROM orders") == [(250, 1, len(shop.orders))]
    shown = await syncs.call("GET", "/syncs/shop")
    assert (shown["last_run"]["id"], shown["running"]) == (job["id"], None)


async def test_state_tells_the_cursor_and_a_reset_forgets_it(syncs: Syncs, shop: SyncApi) -> None:
    await syncs.run("shop")
    (orders,) = (await syncs.call("GET", "/syncs/shop/state"))["streams"]
    assert (orders["stream"], orders["phase"], orders["cursor"]) == ("orders", "idle", shop.orders[-1]["updated_at"])
    asked = await syncs.run("shop")
    assert (await syncs.result(asked["id"]))["streams"]["orders"]["in"] == 1  # that of the cursor
    full = await syncs.run("shop", full=True)
    assert (await syncs.result(full["id"]))["streams"]["orders"]["in"] == 250
    assert await syncs.call("POST", "/syncs/shop/reset", json={"streams": ["orders"]}) == {"streams": ["orders"]}
    assert await syncs.call("GET", "/syncs/shop/state") == {"streams": []}
    again = await syncs.run("shop")
    assert (await syncs.result(again["id"]))["streams"]["orders"]["in"] == 250


async def test_runs_come_in_pages(syncs: Syncs) -> None:
    ids = [(await syncs.run("shop"))["id"] for _ in range(3)]
    first = await syncs.call("GET", "/syncs/shop/runs", params={"limit": 2})
    assert [run["id"] for run in first["runs"]] == [ids[2], ids[1]]
    second = await syncs.call("GET", "/syncs/shop/runs", params={"limit": 2, "cursor": first["next"]})
    assert second["runs"][0]["id"] == ids[0]
    whole = await syncs.call("GET", "/syncs/shop/runs")
    assert len({run["id"] for run in whole["runs"]}) == len(whole["runs"])
    assert whole["next"] is None


async def test_streams_can_be_chosen(syncs: Syncs) -> None:
    job = await syncs.run("family", streams=["customers"])
    assert list((await syncs.result(job["id"]))["streams"]) == ["customers"]
    whole = await syncs.run("family")
    assert list((await syncs.result(whole["id"]))["streams"]) == ["customers", "their_orders"]
    assert syncs.rows("SELECT count(*), count(DISTINCT customers_id) FROM family_their_orders") == [(250, 10)]


async def test_rejected_records_are_listed_with_their_reasons(syncs: Syncs) -> None:
    job = await syncs.run("untidy")
    assert job["state"] == "succeeded"
    counted = (await syncs.call("GET", f"/runs/{job['id']}"))["streams"]["things"]
    assert (counted["in"], counted["written"], counted["rejected"]) == (4, 2, 2)
    path, params = "/syncs/untidy/rejects", {"run": job["id"], "limit": 1}
    first = await syncs.call("GET", path, params=params)
    second = await syncs.call("GET", path, params={**params, "cursor": first["next"]})
    assert second["next"] is None
    last, one = first["rejects"][0], second["rejects"][0]
    assert (one["stream"], one["page"], one["position"]) == ("things", 0, 1)
    assert one["reason"] == "it has no id, which is its key"
    assert "no key" in one["record"]
    assert "odd key" in last["record"]
    assert (await syncs.call("GET", path, params={"run": "another"}))["rejects"] == []
    assert (await syncs.call("GET", path, params={"stream": "another"}))["rejects"] == []


async def test_a_dry_run_shows_the_first_page_and_writes_nothing(syncs: Syncs, shop: SyncApi) -> None:
    before = syncs.rows("SELECT count(*) FROM sqlite_master")
    response = await syncs.client.post("/sync/syncs/untidy/dry-run", json={})
    assert response.status_code == 202
    job = response.json()
    assert (await syncs.ended(job["id"]))["state"] == "succeeded"
    things = (await syncs.result(job["id"]))["streams"]["things"]
    assert (things["received"], len(things["rejected"]), things["more"]) == (4, 2, False)
    columns = {column["name"]: column for column in things["columns"]}
    assert columns["id"] | {"change": ""} == {"name": "id", "field": "id", "kind": "integer", "key": True, "change": ""}
    assert columns["name"]["kind"] == "text"
    assert syncs.rows("SELECT count(*) FROM sqlite_master") == before
    job = await syncs.call("POST", "/syncs/family/dry-run", ok=202, json={"streams": ["their_orders"]})
    await syncs.ended(job["id"])
    children = (await syncs.result(job["id"]))["streams"]
    assert list(children) == ["their_orders"]
    assert children["their_orders"]["received"] == 25
    assert "customers_id" in {column["name"] for column in children["their_orders"]["columns"]}


async def test_a_run_is_refused_while_another_one_is_under_way(syncs: Syncs, shop: SyncApi) -> None:
    key = {"Idempotency-Key": "once"}
    job = await syncs.call("POST", "/syncs/slow/runs", ok=202, json={}, headers=key)

    async def is_running() -> bool:
        return (await syncs.call("GET", "/syncs/slow"))["running"] == job["id"]

    await eventually(is_running, "the run has its lock")
    refused = await syncs.client.post("/sync/syncs/slow/runs", json={})
    assert job["id"] in problem(refused, 409, "sync-busy")["detail"]
    assert refused.headers["location"] == f"/jobs/{job['id']}"
    other = {"Idempotency-Key": "another"}
    problem(await syncs.client.post("/sync/syncs/slow/runs", json={}, headers=other), 409, "sync-busy")
    again = await syncs.call("POST", "/syncs/slow/runs", ok=202, json={}, headers=key)
    assert again["id"] == job["id"]
    conflict = await syncs.client.post("/sync/syncs/slow/runs", json={"full": True}, headers=key)
    problem(conflict, 409, "idempotency-conflict")
    problem(await syncs.client.post("/sync/syncs/slow/reset", json={}), 409, "sync-busy")
    assert (await syncs.call("GET", f"/runs/{job['id']}"))["state"] == "running"

    await syncs.client.post(f"/jobs/{job['id']}/cancel")
    assert (await syncs.ended(job["id"]))["state"] == "cancelled"
    assert (await syncs.call("GET", f"/runs/{job['id']}"))["state"] == "cancelled"
    with shop.telling("/slow", (200, {}, [{"id": 1}])):
        assert (await syncs.run("slow"))["state"] == "succeeded", "the lock is free, at once"
    assert (await syncs.call("POST", "/syncs/slow/reset"))["streams"] == ["waiting"]


async def test_the_lock_of_a_job_that_was_cancelled_while_it_waited_is_no_hindrance(
    syncs: Syncs, shop: SyncApi
) -> None:
    with shop.telling("/slow", "500"):
        job = await syncs.call("POST", "/syncs/slow/runs", ok=202, json={})

        async def is_waiting() -> bool:
            response = await syncs.client.get(f"/sync/runs/{job['id']}")
            return response.status_code == 200 and response.json()["state"] == "waiting"

        await eventually(is_waiting, "the run waits for the source")
        assert "500" in (await syncs.call("GET", f"/runs/{job['id']}"))["error"]
        await syncs.client.post(f"/jobs/{job['id']}/cancel")
        await syncs.ended(job["id"])
    assert (await syncs.call("GET", "/syncs/slow"))["running"] is None
    with shop.telling("/slow", (200, {}, [{"id": 1}])):
        again = await syncs.run("slow")
    assert (await syncs.result(again["id"]))["state"] == "done"


async def test_a_schedule_goes_on_after_a_run_that_somebody_else_has_cancelled_while_it_waited(
    syncs: Syncs, shop: SyncApi, sync_settings: Settings, sync_family_settings: SyncSettings
) -> None:
    async def is_waiting() -> bool:
        response = await syncs.client.get(f"/sync/runs/{job['id']}")
        return response.status_code == 200 and response.json()["state"] == "waiting"

    stranger, beat = Celeriac("stranger", settings=sync_settings), Celeriac("beat", settings=sync_settings)
    family = beat.include_family(SyncFamily, sync_family_settings)
    try:
        with shop.telling("/slow", "500"):
            job = await syncs.call("POST", "/syncs/slow/runs", ok=202, json={})
            await eventually(is_waiting, "the run waits for the source")
            await stranger.client.cancel(job["id"])  # which knows of no lock
        with shop.telling("/slow", (200, {}, [{"id": 1}])):
            scheduled = await beat.client.submit(family.call("slow"))
            await syncs.ended(scheduled.id)
        assert (await syncs.result(scheduled.id))["state"] == "done"
        lost = await syncs.call("GET", f"/runs/{job['id']}")
        assert lost["ended_at"] is not None
    finally:
        await stranger.client.aclose()
        await beat.client.aclose()


async def test_a_host_that_asks_to_be_left_alone_is_shown_and_asked_again_at_once(syncs: Syncs, shop: SyncApi) -> None:
    with shop.telling("/slow", (429, {"Retry-After": "86400"}, "")):
        job = await syncs.call("POST", "/syncs/slow/runs", ok=202, json={})

        async def is_closed() -> bool:
            return (await syncs.call("GET", "/syncs/shop/host"))["closed_seconds"] > 80_000

        try:
            await eventually(is_closed, "the host is closed, for other syncs of it as well")
            before = await syncs.call("POST", "/syncs/family/host/reopen")
        finally:
            await syncs.call("POST", "/syncs/shop/host/reopen")  # other tests read it, too
    host = f"127.0.0.1:{shop.port}"
    assert (before["host"], before["closed_seconds"] > 80_000) == (host, True)
    assert await syncs.call("GET", "/syncs/slow/host") == {"host": host, "closed_seconds": 0}
    await syncs.client.post(f"/jobs/{job['id']}/cancel")
    await syncs.ended(job["id"])
    assert (await syncs.run("shop"))["state"] == "succeeded"


async def test_what_does_not_exist_is_404(syncs: Syncs) -> None:
    for method, path in (
        ("GET", "/syncs/none"),
        ("POST", "/syncs/none/runs"),
        ("POST", "/syncs/none/dry-run"),
        ("POST", "/syncs/none/reset"),
        ("GET", "/syncs/none/runs"),
        ("GET", "/syncs/none/state"),
        ("GET", "/syncs/none/host"),
        ("POST", "/syncs/none/host/reopen"),
        ("GET", "/syncs/none/rejects"),
    ):
        problem(await syncs.client.request(method, f"/sync{path}"), 404, "unknown-sync")
    for path in ("runs", "dry-run", "reset"):
        answer = await syncs.client.post(f"/sync/syncs/shop/{path}", json={"streams": ["none"]})
        assert "it has: orders" in problem(answer, 404, "unknown-sync")["detail"]


async def test_wrong_input_is_told(syncs: Syncs) -> None:
    for body in ({"streams": []}, {"streams": [1]}, {"streams": "orders"}, {"full": "perhaps"}, {"stream": ["orders"]}):
        problem(await syncs.client.post("/sync/syncs/shop/runs", json=body), 422, "invalid-request")
    for path in (
        "/syncs/a'b",
        "/runs/%2e%2e%20",
        "/syncs/shop/runs?cursor=x",
        "/syncs/shop/rejects?cursor=-1",
        "/syncs/shop/rejects?stream=%00",
    ):
        problem(await syncs.client.get(f"/sync{path}"), 422, "invalid-request")
    problem(await syncs.client.get("/sync/syncs/shop/runs?limit=0"), 422, "invalid-request")
    text = {"Content-Type": "text/plain"}
    problem(await syncs.client.post("/sync/syncs/shop/runs", content="x", headers=text), 415, "unsupported-media-type")


async def test_a_database_that_is_away_is_503_in_each_route(syncs: Syncs) -> None:
    answers = await asyncio.gather(*(syncs.client.request(m, f"/sync/syncs/away{path}") for m, path in ASKING))
    for answer in answers:
        detail = problem(answer, 503, "database-unavailable")["detail"]
        assert "hidden-password" not in detail
        assert answer.headers["retry-after"] == "1"
    assert (await syncs.call("GET", "/syncs"))["syncs"], "what is defined is known without a database"
    problem(await syncs.client.get("/sync/runs/no-such-run"), 503, "database-unavailable")


async def test_the_id_of_another_job_is_no_run_whatever_database_is_away(syncs: Syncs) -> None:
    for path, body in (("/sync/syncs/shop/dry-run", {}), ("/jobs/celeriac.echo", {"value": 1})):
        job = (await syncs.client.post(path, json=body)).json()
        problem(await syncs.client.get(f"/sync/runs/{job['id']}"), 404, "unknown-run")


async def test_the_answer_names_a_database_that_never_says_anything(
    sync_settings: Settings, own: dict[str, str], mute_port: int
) -> None:
    hasty = sync_settings.model_copy(update={"broker_timeout": 0.5})
    given = {**own, "sync_connections": own["sync_connections"].replace("127.0.0.1:1/", f"127.0.0.1:{mute_port}/")}
    with serving(create_api(hasty, {"sync": SyncSettings.model_validate(given)})) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as api:
            answers = await asyncio.gather(*(api.request(m, f"/sync/syncs/away{path}") for m, path in ASKING))
    for answer in answers:
        detail = problem(answer, 503, "database-unavailable")["detail"]
        assert detail == "the database of the sync 'away' cannot be used: it did not answer within 0.6 s"


async def test_the_routes_are_described(client: httpx2.AsyncClient, sync_settings: Settings) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {path for path in document["paths"] if path.startswith("/sync")} == {
        "/sync/syncs",
        "/sync/syncs/{name}",
        "/sync/syncs/{name}/runs",
        "/sync/syncs/{name}/dry-run",
        "/sync/syncs/{name}/reset",
        "/sync/syncs/{name}/state",
        "/sync/syncs/{name}/host",
        "/sync/syncs/{name}/host/reopen",
        "/sync/syncs/{name}/rejects",
        "/sync/runs/{run_id}",
    }
