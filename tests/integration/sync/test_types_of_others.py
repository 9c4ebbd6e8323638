"""Columns of the user's own whose types records do not have: what they take is written, the rest rejected."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.support.postgres import PostgresServer
from tests.support.sync_jobs import SyncJobs

KEY = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
TABLE = """
CREATE SCHEMA "my schema";
CREATE TYPE "my schema"."Mood" AS ENUM ('ok', 'sad');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(3);
CREATE TABLE things (
    id uuid PRIMARY KEY, mood "my schema"."Mood", address inet, amount positive, code short, tags text[], counts int[],
    grid int[][], body json, binary_body jsonb, span interval, at_time time, bits bit(3), raw bytea,
    moods "my schema"."Mood"[], ranges int4range, plain varchar(5)
)
"""


@pytest.fixture
async def things(tmp_path: Path, postgres_server: PostgresServer) -> AsyncGenerator[SyncJobs]:
    jobs = SyncJobs(tmp_path / "own", {"main": await postgres_server.create_database()})

    def make(connection: Connection) -> None:
        for statement in TABLE.split(";"):
            connection.exec_driver_sql(statement)

    await jobs.database.write(make)
    yield jobs
    await jobs.close()


GOOD: dict[str, Any] = {
    "id": KEY,
    "mood": "sad",
    "address": "10.0.0.1/8",
    "amount": 5,
    "code": "abc",
    "tags": ["a", 'q"u\\o{t}e', None, "NULL", "", "ä, b"],
    "counts": [1, -2],
    "grid": [[1, 2], [3, 4]],
    "body": {"a": [1]},
    "binary_body": ["x", {"y": None}],
    "span": "1 day",
    "at_time": "12:30:00",
    "bits": "101",
    "raw": "\\x00ff",
    "moods": ["ok", "sad"],
    "ranges": "[1,5)",
    "plain": "12345",
}
SHOWN = "SELECT row_to_json(things)::text FROM things ORDER BY id"


@pytest.mark.parametrize("mode", ["incremental", "append", "full_refresh"])
async def test_values_are_cast_to_the_types_of_their_columns(things: SyncJobs, mode: str) -> None:
    things.define({"name": "things", "primary_key": "id", "mode": mode})
    outcome = await things.outcome({"things": [[GOOD]]})
    assert outcome["streams"]["things"]["written"] == 1, await things.rows("SELECT * FROM celeriac_sync_reject")
    [(text,)] = await things.rows(SHOWN)
    row = json.loads(text)
    assert row == {**GOOD, "span": "1 day", "address": "10.0.0.1/8"}
    if mode != "append":
        again = {**GOOD, "id": KEY.upper(), "mood": "ok", "tags": None, "counts": []}
        await things.outcome({"things": [[again]]})
        [(text,)] = await things.rows(SHOWN)
        assert json.loads(text) == {**row, "mood": "ok", "tags": None, "counts": []}


async def test_a_value_that_a_type_refuses_rejects_its_record_with_the_reason(things: SyncJobs) -> None:
    things.define({"name": "things", "primary_key": "id"})
    bad: dict[str, tuple[Any, str]] = {
        "id": ("no uuid", "uuid"),
        "mood": ("angry", "Mood"),
        "address": ("nowhere", "inet"),
        "amount": (-1, "positive"),
        "code": ("abcd", "too long"),
        "tags": ("no list", "array"),
        "counts": (["x"], "integer"),
        "bits": ("1011", "bit"),
        "raw": ("\\xzz", "hexadecimal"),
        "at_time": ("noon", "time"),
    }
    page: list[dict[str, Any]] = [{**GOOD, "id": f"{KEY[:-2]}{n}"} for n in range(20, 20 + len(bad))]
    for record, (name, (value, _)) in zip(page, bad.items(), strict=True):
        record[name] = value
    outcome = (await things.outcome({"things": [[*page, GOOD]]}))["streams"]["things"]
    assert (outcome["written"], outcome["rejected"]) == (1, len(bad))
    reasons = [row[0] for row in await things.rows("SELECT reason FROM celeriac_sync_reject ORDER BY position")]
    for reason, (name, (_, word)) in zip(reasons, bad.items(), strict=True):
        assert word in reason, (name, reason)
    assert await things.rows("SELECT count(*) FROM things") == [(1,)]


async def test_a_second_spelling_of_a_key_on_a_page_is_a_later_version_of_its_row(things: SyncJobs) -> None:
    things.define({"name": "things", "primary_key": "id"})
    page = [GOOD, {**GOOD, "id": KEY.upper(), "amount": 9}]
    outcome = await things.outcome({"things": [page]})
    assert outcome["streams"]["things"]["written"] == 2
    assert await things.rows("SELECT amount FROM things") == [(9,)]


#: How Postgres refuses texts of another length itself, and how the rest is refused.
REFUSED = ("would be cut or rounded", "bit string length 5 does not match type bit(3)", "too long for type")
SIZED = """
CREATE DOMAIN price AS numeric(6, 2);
CREATE DOMAIN dear AS price CHECK (VALUE > 1);
CREATE DOMAIN flags AS bit(3);
CREATE DOMAIN short AS varchar(3);
CREATE TABLE things (
    id bigint PRIMARY KEY, cost price, most dear, marks flags, costs numeric(6, 2)[], codes varchar(3)[],
    at_time time(0), prices dear[], shorts short[], masks flags[]
)
"""


@pytest.mark.parametrize("mode", ["incremental", "full_refresh"])
async def test_a_cast_neither_rounds_nor_cuts(tmp_path: Path, postgres_server: PostgresServer, mode: str) -> None:
    syncs = SyncJobs(tmp_path / "own", {"main": await postgres_server.create_database()})
    await syncs.database.write(lambda c: [c.exec_driver_sql(one) for one in SIZED.split(";")])
    syncs.define({"name": "things", "primary_key": "id", "mode": mode})
    good = {
        "cost": 1.2,
        "most": "2.50",
        "marks": "101",
        "costs": [1.5, None],
        "codes": ["abc", ""],
        "at_time": "12:30:00.0",
        "prices": [1.5, "2.50", None],
        "shorts": ["abc"],
        "masks": ["101"],
    }
    bad = {
        "cost": 1.239,
        "most": "2.501",
        "marks": "10101",
        "costs": [1.5, 1.239],
        "codes": ["abcd"],
        "at_time": "12:30:00.5",
        "prices": [1.5, 1.239],
        "shorts": ["abcd"],
        "masks": ["10101"],
    }
    page = [{"id": 0, **good}, {"id": 1}, *({"id": n, **good, name: bad[name]} for n, name in enumerate(bad, 2))]
    outcome = (await syncs.outcome({"things": [page]}))["streams"]["things"]
    assert (outcome["written"], outcome["rejected"]) == (2, len(bad))
    for (reason,) in await syncs.rows("SELECT reason FROM celeriac_sync_reject"):
        assert any(why in reason for why in REFUSED), reason
    shown = ", ".join(f"{name}::text" for name in good)
    whole = ("1.20", "2.50", "101", "{1.50,NULL}", '{abc,""}', "12:30:00", "{1.50,2.50,NULL}", "{abc}", "{101}")
    empty = [None] * len(good)
    assert await syncs.rows(f"SELECT id, {shown} FROM things ORDER BY id") == [(0, *whole), (1, *empty)]
    await syncs.close()
