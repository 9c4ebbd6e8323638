"""Whole syncs of an API over HTTP: what is new, children, and a try."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.families.sync.dry_run import dry_run
from tests.support.sync_api import SyncApi, order, sync_api
from tests.support.sync_jobs import SyncJobs

ORDERS: dict[str, Any] = {
    "name": "orders",
    "primary_key": "id",
    "cursor": "updated_at",
    "http": {"path": "link/orders", "since": {"param": "since", "format": "iso"}},
}


def define(syncs: SyncJobs, api: SyncApi, *streams: dict[str, Any]) -> None:
    source = {"url": f"http://127.0.0.1:{api.port}", "pagination": {"type": "link"}, "backoff": 0}
    definition = {"name": "shop", "source": source, "streams": streams, "destination": {"connection": "main"}}
    syncs.family.add(definition)


async def test_only_what_has_changed_is_asked_for_again(syncs: SyncJobs) -> None:
    async with sync_api() as api:
        define(syncs, api, {**ORDERS, "lookback": 120})
        outcome = await syncs.outcome()
        assert outcome["streams"]["orders"]["in"] == 250
        assert outcome["streams"]["orders"]["requests"] == outcome["streams"]["orders"]["pages"] == 3
        api.orders += [order(251), order(252)]
        outcome = await syncs.outcome()
        assert outcome["streams"]["orders"]["in"] == 5  # the last one, two of the lookback, and two new ones
        assert await syncs.rows("SELECT count(*), max(id) FROM orders") == [(252, 252)]


async def test_children_are_asked_for_by_the_fields_of_their_parents(syncs: SyncJobs) -> None:
    async with sync_api(page_size=20) as api:
        customers = {
            "name": "customers",
            "primary_key": "id",
            "http": {"path": "customers", "pagination": {"type": "page"}},
        }
        orders = {
            **ORDERS,
            "primary_key": ["customers_id", "id"],
            "parent": {"stream": "customers", "fields": ["id"]},
            "http": {**ORDERS["http"], "path": "customers/{parent.id}/orders", "pagination": {"type": "page"}},
        }
        define(syncs, api, customers, orders)
        outcome = await syncs.outcome()
        assert (outcome["streams"]["customers"]["written"], outcome["streams"]["orders"]["written"]) == (10, 250)
        query = "SELECT count(*), count(DISTINCT customers_id) FROM orders"
        assert await syncs.rows(query) == [(250, 10)]
        before = len(api.requests)
        api.orders.append(order(253))
        outcome = await syncs.outcome()
        assert all("since=" in request for request in api.requests[before:] if request.startswith("/customers/"))
        assert outcome["streams"]["orders"]["in"] == 11  # the last of each customer again, and the new one


async def test_a_credential_that_the_api_sends_back_is_hidden_in_what_is_told_of_rejected_records(
    syncs: SyncJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 'hunter2-"ä\\b'
    monkeypatch.setenv("A_TOKEN", secret)
    stream = {"name": "orders", "primary_key": "id", "http": {"path": "x"}, "columns": {"n": "integer"}}
    records: list[Any] = [
        {"id": 1},
        {"v": f"Bearer {secret}"},
        {"id": 2, "n": secret},
        {"id": 3, "n": [secret, 10**30]},
    ]
    page = json.dumps(records).encode()
    async with sync_api() as api:
        source = {
            "url": f"http://127.0.0.1:{api.port}",
            "auth": {"type": "basic", "user": "me", "password": "env:A_TOKEN"},
        }
        definition = {"name": "shop", "source": source, "streams": [stream | {"max_rejected": 2}]}
        syncs.family.add({**definition, "destination": {"connection": "main"}})
        api.told["/x"] = [(200, {}, page)]
        known = syncs.family.definitions.get("shop")
        preview = await dry_run(known, syncs.family.destinations, syncs.family.runner.source(known), None)
        told = preview.streams["orders"].model_dump_json()
        api.told["/x"] = [(200, {}, page)]
        ran = await syncs.run()
    kept = await syncs.rows("SELECT reason, record FROM celeriac_sync_reject ORDER BY number")
    assert len(kept) == 3 and "max_rejected is 2" in str(ran.error)
    assert "Bearer ***" in kept[0][1] and "Bearer ***" in told
    for text in (told, str(ran.error), str(kept)):
        assert "***" in text and "hunter2" not in text


async def test_a_path_that_no_parent_has_fails_the_run_and_names_it(syncs: SyncJobs) -> None:
    async with sync_api(page_size=20) as api:
        customers = {"name": "customers", "primary_key": "id", "http": {"path": "customers"}}
        orders: dict[str, Any] = {
            "name": "orders",
            "primary_key": "id",
            "parent": {"stream": "customers", "fields": ["id"]},
            "http": {"path": "misspelt/{parent.id}/orders"},
        }
        define(syncs, api, customers, orders)
        for _ in range(2):
            ran = await syncs.run()
            assert "knows nothing (404) at 'misspelt/{parent.id}/orders' for any record of customers" in str(ran.error)
        definition = syncs.family.definitions.get("shop")
        source = syncs.family.runner.source(definition)
        trial = (await dry_run(definition, syncs.family.destinations, source, ["orders"])).streams["orders"]
        assert "404" in trial.note
        syncs.family.definitions._named.clear()  # pyright: ignore[reportPrivateUsage]
        define(syncs, api, customers, {**orders, "allow_empty": True})
        assert (await syncs.outcome())["streams"]["orders"]["in"] == 0


async def test_parents_without_children_are_no_fault_while_others_have_some(syncs: SyncJobs) -> None:
    async with sync_api(page_size=20) as api:
        customers = {
            "name": "customers",
            "primary_key": "id",
            "http": {"path": "customers", "pagination": {"type": "page"}},
        }
        orders: dict[str, Any] = {
            "name": "orders",
            "primary_key": "id",
            "parent": {"stream": "customers", "fields": ["id"]},
            "http": {"path": "customers/{parent.id}/orders", "pagination": {"type": "page"}},
        }
        for number in range(1, 9):
            api.told[f"/customers/{number}/orders"] = [(404, {}, {"error": "none"})]
        define(syncs, api, customers, orders)
        outcome = await syncs.outcome()
        assert 0 < outcome["streams"]["orders"]["in"] < 250


async def test_a_rejected_record_is_listed_with_its_place_on_the_page(syncs: SyncJobs) -> None:
    async with sync_api() as api:
        define(syncs, api, {"name": "orders", "primary_key": "id", "http": {"path": "x"}})
        api.told["/x"] = [(200, {}, [7, {"id": 1}, {"name": "no key"}, "x", {"id": 2}, {"name": "neither"}])]
        await syncs.outcome()
        assert await syncs.rows("SELECT position FROM celeriac_sync_reject ORDER BY position") == [
            (0,), (2,), (3,), (5,)
        ]  # fmt: skip


async def test_a_dry_run_asks_for_one_page(syncs: SyncJobs) -> None:
    async with sync_api() as api:
        define(syncs, api, ORDERS)
        definition = syncs.family.definitions.get("shop")
        source = syncs.family.runner.source(definition)
        trial = (await dry_run(definition, syncs.family.destinations, source, None)).streams["orders"]
        assert (trial.received, len(api.requests)) == (100, 1)
        kinds = {column.name: str(column.kind) for column in trial.columns}
        assert kinds["customer"] == "json"
        assert kinds["total"] == "double"
