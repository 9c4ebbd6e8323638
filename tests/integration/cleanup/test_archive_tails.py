"""Archives when a run is over: their files have what was deleted, and nothing more, whatever was killed when."""

from __future__ import annotations

import csv
import gzip
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pyarrow import parquet

from celeriac.families.cleanup.policy import Policy
from tests.integration.cleanup.test_actions import App
from tests.support.cleanup_shop import Shop, policy
from tests.support.cleanup_worker import run_apart

#: What a worker writes until the n-th chunk is in a file and not in the audit: a line with names and a manifest first.
WRITES = {"csv.gz": [3, 4], "parquet": [1, 2]}
TAILS = [(form, chunks) for form in WRITES for chunks in (0, 1)]


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncGenerator[Shop]:
    (tmp_path / "shop.db").touch()
    shop = Shop(f"sqlite:///{tmp_path}/shop.db", tmp_path / "archives")
    await shop.add_orders(60)
    yield shop
    await shop.database.dispose()


def in_files(shop: Shop) -> list[int]:
    """The orders in all files, as `zcat` shows them, or another reader of Parquet."""
    found: list[int] = []
    for file in shop.archives.glob("*.csv.gz"):
        found += [int(row["id"]) for row in csv.DictReader(gzip.decompress(file.read_bytes()).decode().splitlines())]
    for file in shop.archives.glob("*.parquet"):
        found += parquet.read_table(file).column("id").to_pylist()
    return sorted(found)


async def gone(shop: Shop) -> list[int]:
    """The orders that are in the table no more."""
    return sorted(set(range(1, 61)) - set(await shop.ids()))


async def die_with_a_tail(shop: Shop, form: str, chunks: int, **changes: object) -> Policy:
    """Have a worker killed when it has committed some chunks, and written one more. Return its policy."""
    chosen = policy(action="archive", archive=form, chunk={"rows": 10}, **changes)
    assert await run_apart(shop, chosen, "job-1", 2 * WRITES[form][chunks], only="pwrite") != 0
    assert (len(await gone(shop)), len(in_files(shop))) == (10 * chunks, 10 * chunks + 10)
    return chosen


@pytest.mark.parametrize(("form", "chunks"), TAILS)
async def test_a_forced_pause_leaves_no_rows_in_files_that_are_in_the_table(
    lite: Shop, tmp_path: Path, form: str, chunks: int
) -> None:
    app = App(lite, tmp_path)
    app.family.add(await die_with_a_tail(lite, form, chunks, name="small"))
    await app.actions.pause("small", force=True)
    assert in_files(lite) == await gone(lite)
    await app.family.places.databases.dispose()


@pytest.mark.parametrize(("form", "chunks"), TAILS)
async def test_the_next_run_cuts_off_what_a_lost_one_has_left(lite: Shop, form: str, chunks: int) -> None:
    chosen = await die_with_a_tail(lite, form, chunks)
    await lite.execute("UPDATE celeriac_cleanup_lock SET until = 0")
    assert (await lite.run(chosen, "job-2")).state == "done"
    assert in_files(lite) == await gone(lite)


@pytest.mark.parametrize("form", WRITES)
async def test_a_run_that_finds_nothing_more_leaves_no_file_of_which_nothing_is_committed(
    lite: Shop, form: str
) -> None:
    chosen = await die_with_a_tail(lite, form, 0)
    await lite.execute("DELETE FROM orders")
    assert (await lite.run(chosen)).files == []
    assert list(lite.archives.iterdir()) == []


@pytest.mark.parametrize(("form", "chunks"), TAILS)
async def test_files_of_other_policies_and_runs_stay_as_they_are(lite: Shop, form: str, chunks: int) -> None:
    """Names that begin alike are others'."""
    await die_with_a_tail(lite, form, chunks, name="old-orders")
    names = {path.name: path.stat().st_size for path in lite.archives.iterdir()}
    chosen = policy(name="old", action="archive", where={"sql": "1 = 0"})
    await lite.run(chosen, "job-2")
    await lite.run(chosen, "job-3")
    assert {path.name: path.stat().st_size for path in lite.archives.iterdir()} == names
