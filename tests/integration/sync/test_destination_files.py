"""Files as the destination: each is an artifact of the job, and the state moves when it is complete."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from celeriac.engine.ran_job import RanJob
from celeriac.families.sync.errors import SourceFailed
from tests.support.sync_jobs import SyncJobs, numbered

ORDERS = {"name": "orders", "primary_key": "id", "cursor": "id"}


@pytest.fixture
def files(tmp_path: Path) -> SyncJobs:
    return SyncJobs(tmp_path, {})


async def content(syncs: SyncJobs, ran: RanJob, name: str) -> bytes:
    artifact = await syncs.app.storage.artifacts.get(ran.record.id, name)
    return b"".join([piece async for piece in syncs.app.storage.artifacts.stream(artifact)])


async def lines(syncs: SyncJobs, ran: RanJob, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(await content(syncs, ran, name)).splitlines()]


def killing(at: int) -> str:
    """A trigger that has no state stored of that many records."""
    when = f"""WHEN NEW.counts LIKE '%"received":{at},%'"""
    begin = "CREATE TRIGGER refuse BEFORE UPDATE ON celeriac_sync_state"
    return f"{begin} {when} BEGIN SELECT RAISE(ABORT, 'killed here'); END"


async def test_records_become_lines_of_json_in_files_of_some_size(files: SyncJobs) -> None:
    files.define(ORDERS, destination={"files": "jsonl", "records": 25})
    ran = await files.run({"orders": numbered(7, 10)})
    names = [f"orders-{first:012d}.jsonl.gz" for first in (1, 31, 61)]
    assert ran.result["streams"]["orders"]["files"] == names
    written = [record for name in names for record in await lines(files, ran, name)]
    assert written == [record for page in numbered(7, 10) for record in page]
    assert await lines(files, ran, names[2]) == numbered(7, 10)[6]
    await files.run({"orders": [[]]})
    assert files.source.asked[0].cursor == 70


async def test_what_was_not_in_a_complete_file_is_read_again(files: SyncJobs) -> None:
    files.define(ORDERS, destination={"files": "jsonl", "records": 20})
    pages: list[Any] = numbered(5, 10)
    first = await files.run({"orders": [*pages[:3], SourceFailed("gone"), pages[4]]})
    assert "gone" in str(first.error)
    second = await files.run({"orders": pages})
    assert [asked.place.page for asked in files.source.asked] == [2]
    assert len(await lines(files, first, "orders-000000000001.jsonl.gz")) == 20
    assert [row["id"] for row in await lines(files, second, "orders-000000000021.jsonl.gz")] == list(range(21, 41))
    assert second.result["streams"]["orders"]["in"] == 50


async def test_records_become_columns_of_parquet(files: SyncJobs) -> None:
    files.define({**ORDERS, "columns": {"at": "timestamp"}}, destination={"files": "parquet"})
    pages = [
        [{"id": 1, "v": 1, "at": "2026-01-01T02:00:00+02:00", "tags": ["a"]}],
        [{"id": 2, "v": 2.5, "at": None}, {"v": 3}, {"id": 4, "v": "x", "at": "soon"}],
    ]
    ran = await files.run({"orders": pages})
    counts = ran.result["streams"]["orders"]
    assert (counts["in"], counts["written"], counts["rejected"]) == (4, 2, 2)
    table = pyarrow.parquet.read_table(io.BytesIO(await content(files, ran, "orders-000000000001.parquet")))
    rows = table.to_pylist()
    assert [(row["id"], row["v"], row["tags"]) for row in rows] == [(1, "1", '["a"]'), (2, "2.5", None)]
    assert rows[0]["at"].isoformat() == "2026-01-01T00:00:00+00:00"


async def test_a_record_without_its_key_is_no_line(files: SyncJobs) -> None:
    files.define(ORDERS, destination={"files": "jsonl"})
    ran = await files.run({"orders": [[{"id": 1}, {"name": "x"}, {"id": 2, "v": float("nan")}]]})
    assert ran.result["streams"]["orders"]["rejected"] == 2
    assert await lines(files, ran, "orders-000000000001.jsonl.gz") == [{"id": 1}]


async def test_a_file_whose_state_was_not_stored_comes_again_under_its_name(files: SyncJobs) -> None:
    files.define(ORDERS, destination={"files": "jsonl", "records": 10})
    database = files.app.database
    await database.ensure_schema()
    await database.write(lambda c: c.exec_driver_sql(killing(at=20)))
    first = await files.run({"orders": numbered(3, 10)})
    assert "killed here" in str(first.error)
    await database.write(lambda c: c.exec_driver_sql("DROP TRIGGER refuse"))
    second = await files.run({"orders": numbered(3, 10)})
    names = second.result["streams"]["orders"]["files"]
    assert names == ["orders-000000000011.jsonl.gz", "orders-000000000021.jsonl.gz"]
    assert await lines(files, first, names[0]) == await lines(files, second, names[0])


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
async def test_of_several_jobs_each_record_is_in_one_file_if_the_later_one_of_a_name_counts(
    files: SyncJobs, kind: str
) -> None:
    files.define(ORDERS, destination={"files": kind, "records": 10})
    database, pages = files.app.database, numbered(4, 10)
    await database.ensure_schema()
    found: dict[str, list[dict[str, Any]]] = {}
    for killed_at in (20, 30, 0):
        refuse = killing(at=killed_at)
        await database.write(lambda c, refuse=refuse: c.exec_driver_sql(refuse))
        ran = await files.run({"orders": pages})
        assert (ran.error is None) is (killed_at == 0)
        await database.write(lambda c: c.exec_driver_sql("DROP TRIGGER refuse"))
        for artifact in await files.app.storage.artifacts.of(ran.record.id):
            if kind == "jsonl":
                found[artifact.name] = await lines(files, ran, artifact.name)
            else:
                written = io.BytesIO(await content(files, ran, artifact.name))
                found[artifact.name] = pyarrow.parquet.read_table(written).to_pylist()
    assert [record for name in sorted(found) for record in found[name]] == [one for page in pages for one in page]
    assert ran.result["streams"]["orders"]["in"] == 40
