"""Definitions of syncs are checked when an application starts, and faults name their file and field."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.families.sync import SyncFamily, SyncSettings
from celeriac.families.sync.definitions import read_definition, read_file
from celeriac.families.sync.errors import SyncInvalid, UnknownSync
from celeriac.families.sync.http.model import HttpSource
from celeriac.families.sync.model import Sync

STREAM: dict[str, Any] = {"name": "orders", "primary_key": "id"}
SHOP: dict[str, Any] = {
    "name": "shop",
    "source": {"url": "https://api.example.com/v1"},
    "streams": [STREAM],
    "destination": {"connection": "main"},
}

#: Words that mean nothing to whoever writes a file.
PYDANTIC = re.compile(r"[Ii]nput|tuple|dictionary|instance|Extra|Field|tag\b")


def app(tmp_path: Path, **own: Any) -> Celeriac:
    celeriac = Celeriac("shop", settings=Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path))
    connections = {"main": SecretStr(f"sqlite:///{tmp_path}/main.db")}
    celeriac.include_family(SyncFamily, SyncSettings(sync_connections=connections, **own))
    return celeriac


def test_a_whole_definition_is_read_from_yaml(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        """
name: shop
source:
  url: https://api.example.com/v1
  auth: {type: bearer, token: "env:SHOP_TOKEN"}
streams:
  - name: orders
    primary_key: [shop.id, number]
    cursor: updated_at
    lookback: 300
    http: {path: orders, since: {param: updated_since}}
    columns: {total: numeric, placed_at: timestamp}
  - name: items
    parent: {stream: orders, fields: [number]}
    primary_key: [orders_number, line]
    http: {path: "orders/{parent.number}/items"}
destination: {connection: main, schema: raw, table_prefix: shop_}
"""
    )
    (definition,) = app(tmp_path, sync_folder=tmp_path).family(SyncFamily).definitions
    sync = definition.sync
    assert isinstance(sync.source, HttpSource)
    assert [stream.name for stream in sync.in_order()] == ["orders", "items"]
    assert sync.fields_of_parents("orders") == ("number",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"more": 1}, "more: is unknown: known here are `name`, `source`, `streams`, `destination`, `schedule`"),
        ({"name": "a b"}, "name: has characters that it cannot have: it must match ^[A-Za-z0-9]"),
        ({"source": {}}, " source.url: is missing"),
        (
            {"source": {"python": "x", "url": "https://a.b"}},
            " source.url: is unknown: known here are `python`, `parameters`",
        ),
        ({"streams": []}, "streams: must not be empty"),
        ({"streams": [{"name": "orders"}]}, "streams.orders: primary_key: needed to replace records"),
        ({"streams": [STREAM, STREAM]}, "streams: two have the name 'orders'"),
        ({"streams": [STREAM, {**STREAM, "name": "b", "table": "ORDERS"}]}, "streams: two have the table 'orders'"),
        ({"streams": [{**STREAM, "lookback": 5}]}, "lookback: needs a cursor"),
        ({"streams": [{**STREAM, "deletes": "hard"}]}, "only a full refresh sees what has vanished"),
        ({"streams": [{"name": "x", "mode": "full_refresh", "deletes": "soft"}]}, "deletes: soft needs a primary_key"),
        (
            {"streams": [{**STREAM, "parent": {"stream": "x", "fields": ["id"]}}]},
            "streams.orders.parent.stream: no other",
        ),
        ({"streams": [{**STREAM, "http": {"since": {"param": "s"}}}]}, "http.since: needs a cursor"),
        ({"streams": [{**STREAM, "columns": {"a": "varchar"}}]}, "streams.orders.columns.a: must be 'boolean', "),
        ({"streams": [{**STREAM, "table": "a%b"}]}, "streams.orders.table: has characters that it cannot have"),
        (
            {"source": {"python": "x"}, "streams": [{**STREAM, "http": {"path": "a"}}]},
            "streams.orders.http: the source is no",
        ),
        (
            {"streams": [{**STREAM, "table": "Celeriac_sync_lock"}]},
            "streams.orders.table: names with celeriac_ are those",
        ),
        ({"destination": {"files": "csv"}}, "destination.files: must be 'jsonl' or 'parquet'"),
        ({"source": {**SHOP["source"], "record": "data"}}, " source.record: is unknown: did you mean `records`?"),
        (
            {"source": {**SHOP["source"], "auth": {"type": "baerer"}}},
            " source.auth.type: must be one of header, query, ",
        ),
        (
            {"source": {**SHOP["source"], "auth": {}}},
            " source.auth.type: is missing: it must be one of header, query, ",
        ),
        (
            {"source": {**SHOP["source"], "auth": "env:X"}},
            "source.auth: must have fields of its own: `type` and others",
        ),
        (
            {"source": {**SHOP["source"], "auth": {"type": "oauth2", "client_id": "x", "client_secret": "env:X"}}},
            " source.auth.token_url: is missing",
        ),
        ({"source": {**SHOP["source"], "attempts": 0}}, "source.attempts: must be at least 1"),
        (
            {"source": {**SHOP["source"], "params": {"a": {}}}},
            "source.params.a: must be a text (in quotes, if it looks ",
        ),
        ({"streams": [{**STREAM, "primary_key": False}]}, "streams.orders.primary_key: must be a list, such as [a, b]"),
        ({"streams": [{**STREAM, "parent": {"stream": "x", "fields": "id"}}]}, "parent.fields: must be a list"),
        (
            {"streams": [{**STREAM, "http": {"since": "updated_since"}}]},
            "streams.orders.http.since: must have fields of its own: `param`, `format`, `first`",
        ),
        (
            {"streams": [{**STREAM, "parent": {"stream": "x", "fields": ["id"]}, "http": {"path": "{parent.nr}"}}]},
            "streams.orders: http: {parent.nr} needs 'nr' among the fields of `parent`",
        ),
        (
            {"streams": [{**STREAM, "http": {"params": {"of": "{parent.id}"}}}]},
            "streams.orders: http: {parent.id} needs 'id' among the fields of `parent`",
        ),
        ({"streams": [{**STREAM, "columns": ["a"]}]}, "columns: must have names and values, such as {name: value}"),
        ({"streams": [{"name": 5}]}, "streams.0.name: must be a text (in quotes, if it looks like something else)"),
        ({"schedule": {"cron": "99 * * * *"}}, "schedule.cron: '99 * * * *' is not `minute hour day month weekday`"),
        ({"schedule": {"cron": "0 3 * * *", "timezone": "X/Y"}}, "schedule.timezone: 'X/Y' is no time zone"),
        ({"destination": {"connection": "other"}}, "destination.connection: none is named 'other'; CELERIAC_SYNC_CON"),
    ],
)
def test_a_wrong_definition_names_the_field(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(SyncInvalid) as refused:
        app(tmp_path).family(SyncFamily).add({**SHOP, **change})
    assert told in str(refused.value)
    assert not PYDANTIC.search(str(refused.value))


def test_a_schedule_has_a_time_zone_of_its_own(tmp_path: Path) -> None:
    celeriac = app(tmp_path)
    family = celeriac.family(SyncFamily)
    family.add({**SHOP, "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}})
    family.add({**SHOP, "name": "often", "schedule": {"every": 60}})
    scheduled = celeriac.conf.beat_schedule["celeriac.sync.shop"]
    assert (scheduled["task"], scheduled["kwargs"]["sync"]) == ("celeriac.sync.run", "shop")
    assert repr(scheduled["schedule"]) == "<cron: 30 2 * * * Europe/Berlin>"
    assert family.looks.schedules("shop") == ["cron 30 2 * * * Europe/Berlin"]
    assert family.looks.schedules("often") == ["every 60 s"]


def test_a_wrong_file_is_named_and_stops_workers_but_not_the_commands_of_other_syncs(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("- 1")
    (tmp_path / "shop.yaml").write_text(json.dumps(SHOP))
    celeriac = app(tmp_path, sync_folder=tmp_path)
    told = f"{tmp_path}/bad.yaml: is something else: expected the fields of a sync"
    with pytest.raises(SyncInvalid) as refused:
        celeriac.check_complete()
    assert told in str(refused.value)
    definitions = celeriac.family(SyncFamily).definitions
    assert definitions.get("shop").sync.name == "shop"
    with pytest.raises(UnknownSync) as unknown:
        definitions.get("bad")
    assert told in str(unknown.value)


def test_a_file_gives_its_name_to_a_sync_without_one(tmp_path: Path) -> None:
    (tmp_path / "shop.yml").write_text(json.dumps({name: value for name, value in SHOP.items() if name != "name"}))
    assert read_file(tmp_path / "shop.yml").sync.name == "shop"


def test_two_syncs_of_one_name_are_refused(tmp_path: Path) -> None:
    family = app(tmp_path).family(SyncFamily)
    family.add(SHOP)
    with pytest.raises(SyncInvalid, match="defines the sync 'shop' already"):
        family.add({**SHOP, "name": "SHOP"})


def test_no_secret_is_shown_in_what_is_wrong(tmp_path: Path) -> None:
    wrong = {**SHOP, "source": {**SHOP["source"], "auth": {"type": "bearer", "token": "hunter2-in-the-clear"}}}
    with pytest.raises(SyncInvalid) as refused:
        app(tmp_path).family(SyncFamily).add(wrong)
    assert "hunter2" not in str(refused.value)


def test_sources_in_python_are_checked_when_all_is_declared(tmp_path: Path) -> None:
    celeriac = app(tmp_path)
    family = celeriac.family(SyncFamily)
    family.add({**SHOP, "source": {"python": "orders", "parameters": {"days": "many"}}})
    with pytest.raises(SyncInvalid, match="no source is named 'orders'"):
        celeriac.check_complete()

    @family.source
    async def orders(days: int) -> AsyncIterator[dict[str, Any]]:
        yield {"id": days}

    with pytest.raises(SyncInvalid, match="days"):
        celeriac.check_complete()


def test_what_changes_pages_changes_the_fingerprint_and_nothing_else_does() -> None:
    def fingerprint(**change: Any) -> str:
        sync = Sync.model_validate({**SHOP, **change})
        return sync.fingerprint(sync.streams[0])

    usual = fingerprint()
    assert fingerprint(source={**SHOP["source"], "attempts": 2}) == usual
    assert fingerprint(streams=[{**STREAM, "max_rejected": 5, "on_new_column": "stop"}]) == usual
    assert fingerprint(source={"url": "https://api.example.com/v2"}) != usual
    assert fingerprint(streams=[{**STREAM, "http": {"path": "all"}}]) != usual


def test_what_changes_the_records_changes_their_origin_and_nothing_else_does() -> None:
    def origin(**change: Any) -> str:
        sync = Sync.model_validate({**SHOP, **change})
        return sync.origin(sync.streams[0])

    usual = origin()
    assert origin(source={**SHOP["source"], "attempts": 2, "records": "data"}) == usual
    assert origin(streams=[{**STREAM, "lookback": 0, "max_rejected": 5}]) == usual
    assert origin(source={"url": "https://api.example.com/v2"}) != usual
    assert origin(source={**SHOP["source"], "auth": {"type": "bearer", "token": "env:OTHER_TOKEN"}}) != usual
    assert origin(streams=[{**STREAM, "cursor": "number"}]) != usual
    assert origin(streams=[{**STREAM, "http": {"path": "all"}}]) != usual


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"destination": {"conection": "main"}},
            ["destination.connection:", "destination.conection:"],
        ),
        ({"streams": [{"name": "orders", "primary_key": "id", "colour": "red"}]}, ["streams.orders.colour:"]),
    ],
)
def test_one_mistake_is_told_once_and_where_it_is(changes: dict[str, Any], said: list[str]) -> None:
    given = SHOP | changes
    with pytest.raises(SyncInvalid) as raised:
        read_definition(given, "shop.yaml")
    assert [part.split()[0] for part in str(raised.value).removeprefix("shop.yaml: ").split("; ")] == said
