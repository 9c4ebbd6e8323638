"""When many records are rejected, or all, the run says so, and nothing of the others is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from celeriac.families.sync.errors import TooManyRejected
from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "id", "cursor": "at"}


@pytest.fixture
def one(tmp_path: Path) -> SyncJobs:
    return SyncJobs(tmp_path / "own", {"main": f"sqlite:///{tmp_path}/shop.db"})


def bad(*moments: int) -> list[dict[str, Any]]:
    return [{"at": moment} for moment in moments]


@pytest.mark.parametrize("to", ["database", "files"])
async def test_a_run_that_can_write_nothing_fails_and_the_next_one_reads_it_again(one: SyncJobs, to: str) -> None:
    one.define(ORDERS, **({"destination": {"files": "jsonl"}} if to == "files" else {}))
    ran = await one.run({"orders": [bad(1, 2), bad(3)]})
    assert isinstance(ran.error, TooManyRejected)
    assert "none of its 3 records could be written: it has no id, which is its key (3)" in str(ran.error)
    outcome = await one.outcome({"orders": [[{"id": 1, "at": 1}, *bad(4)]]})
    assert one.source.asked[0].cursor is None
    assert outcome["streams"]["orders"]["rejected"] == 1
    ran = await one.run({"orders": [bad(5)]})
    assert "none of its 1 records" in str(ran.error)
    await one.outcome({"orders": [[{"id": 2, "at": 6}]]})
    assert one.source.asked[0].cursor == 4


async def test_a_bad_record_that_comes_again_because_it_is_at_the_cursor_fails_no_run(one: SyncJobs) -> None:
    one.define(ORDERS)
    await one.outcome({"orders": [[{"id": 1, "at": 1}, *bad(2)]]})
    outcome = await one.outcome({"orders": [bad(2)]})
    assert (outcome["streams"]["orders"]["in"], outcome["streams"]["orders"]["rejected"]) == (1, 1)


async def test_children_of_which_none_could_be_written_are_read_again(one: SyncJobs) -> None:
    shops = {"name": "shops", "primary_key": "id"}
    one.define(shops, {**ORDERS, "parent": {"stream": "shops", "fields": ["id"]}})
    parents = [[{"id": 1}, {"id": 2}]]
    ran = await one.run({"shops": parents, "orders/1": [bad(1)], "orders/2": [bad(2)]})
    assert "none of its 2 records" in str(ran.error)
    outcome = await one.outcome({"shops": parents, "orders/1": [[{"id": 1, "at": 1}]], "orders/2": [[]]})
    assert [asked.cursor for asked in one.source.asked] == [None] * 3
    assert outcome["streams"]["orders"]["written"] == 1


async def test_a_run_goes_on_behind_the_page_that_had_too_many_bad_records(one: SyncJobs) -> None:
    one.define({**ORDERS, "max_rejected": 1})
    pages = [[{"id": 1, "at": 1}], bad(2, 3), [{"id": 4, "at": 4}], [{"id": 5, "at": 5}]]
    ran = await one.run({"orders": pages})
    assert "2 of 3 records were rejected, and max_rejected is 1: it has no id, which is its key (2)" in str(ran.error)
    outcome = await one.outcome({"orders": pages})
    assert one.source.asked[0].place.page == 2
    assert outcome["streams"]["orders"]["rejected"] == 2
    assert await one.rows("SELECT id FROM orders ORDER BY id") == [(1,), (4,), (5,)]
    await one.outcome({"orders": [[{"id": n, "at": n} for n in range(1, 6)]]}, full=True)
    assert await one.rows("SELECT count(*) FROM orders") == [(5,)]
