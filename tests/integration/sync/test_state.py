"""Cursors, children of parents, locks, and runs that go on after others."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.errors import LeaseLost, RunLater
from celeriac.database.leases import Lease
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable
from celeriac.families.sync.forms import StreamsForm
from celeriac.families.sync.tables import LEASES
from tests.support.sync_jobs import ListedSource, SyncJobs
from tests.support.waiting import eventually

ORDERS = {"name": "orders", "primary_key": "id", "cursor": "changed"}
ISSUES = {"name": "issues", "primary_key": "id"}
COMMENTS = {
    "name": "comments",
    "primary_key": ["issues_id", "id"],
    "cursor": "at",
    "parent": {"stream": "issues", "fields": ["id"]},
}


def changed(*values: Any, start: int = 1) -> list[dict[str, Any]]:
    return [{"id": number, "changed": value} for number, value in enumerate(values, start)]


def cursors(syncs: SyncJobs) -> list[Any]:
    return [asked.cursor for asked in syncs.source.asked]


async def test_a_run_begins_where_the_last_complete_one_has_ended(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [changed(3, 9), changed(5, start=3)]})
    assert cursors(syncs) == [None]
    await syncs.outcome({"orders": [changed(10)]})
    assert cursors(syncs) == [9]  # the greatest of all records, and not the last one
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == [10]


async def test_the_cursor_stays_until_the_pass_is_complete(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [changed(1)]})
    await syncs.run({"orders": [changed(7), SourceFailed("it has gone"), []]})
    await syncs.outcome({"orders": [[], changed(3), changed(2, start=5)]})
    assert [(asked.cursor, asked.place.page) for asked in syncs.source.asked] == [(1, 1)]
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == [7]  # which the part before the failure had


async def test_moments_are_compared_in_all_time_zones(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    values = ["2026-01-01T10:00:00+00:00", "2026-01-01T12:00:00+05:00", "2026-01-01T09:00:00-02:00", None]
    await syncs.outcome({"orders": [changed(*values)]})
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == ["2026-01-01T09:00:00-02:00"]


async def test_a_moment_after_the_sources_own_time_does_not_become_the_cursor(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source.source_time_ms = 1_767_261_600_000  # 2026-01-01T10:00:00Z
    await syncs.outcome({"orders": [changed("2026-01-01T09:59:59Z", "2026-01-01T10:05:00Z", "9999-12-31T00:00:00Z")]})
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == ["2026-01-01T09:59:59Z"]
    assert await syncs.rows("SELECT count(*) FROM orders") == [(3,)]


async def test_the_lookback_is_taken_off(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "lookback": 3600})
    await syncs.outcome({"orders": [changed("2026-01-01T10:00:00Z")]})
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == ["2026-01-01T09:00:00Z"]


async def test_a_cursor_of_another_kind_rejects_its_record(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    outcome = await syncs.outcome({"orders": [changed(1, "yesterday", 2)]})
    assert outcome["streams"]["orders"]["rejected"] == 1
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (3,)]
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == [2]


async def test_another_cursor_field_begins_anew(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "changed": 5_000_000, "seq": 1}]]})
    syncs.redefine({**ORDERS, "cursor": "seq"})
    await syncs.outcome({"orders": [[{"id": 2, "changed": 5_000_001, "seq": 2}]]})
    assert cursors(syncs) == [None]
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == [2]


async def test_a_full_run_ignores_the_cursor_and_fills_new_columns(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [changed(1, 2)]})
    backfill = [[{"id": 1, "changed": 1, "new": "x"}, {"id": 2, "changed": 2, "new": "y"}]]
    await syncs.outcome({"orders": backfill}, full=True, streams=["orders"])
    assert cursors(syncs) == [None]
    assert await syncs.rows("SELECT id, new FROM orders ORDER BY id") == [(1, "x"), (2, "y")]
    await syncs.outcome({"orders": [[]]})
    assert cursors(syncs) == [2]


async def test_a_full_run_that_failed_is_completed_by_the_next_one(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [changed(5)]})
    await syncs.run({"orders": [changed(1), SourceFailed("gone")]}, full=True)
    await syncs.outcome({"orders": [[], changed(2, start=2)]})
    assert [(asked.cursor, asked.place.page) for asked in syncs.source.asked] == [(None, 1)]


async def test_an_outage_is_tried_again_and_goes_on_at_the_page(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    pages: dict[str, Any] = {"orders": [changed(1), SourceUnavailable("503"), changed(3, start=3)]}
    times = 0

    class Recovering(type(syncs.source)):
        def choose(self, asked: Any) -> Any:
            nonlocal times
            times += 1
            return [changed(1), changed(2, start=2), changed(3, start=3)] if times > 3 else pages["orders"]

    syncs.source = Recovering(pages)
    before = len(syncs.jobs.all)
    await syncs.app.client.submit(syncs.family.call("shop"))
    ran = syncs.jobs.all[before]
    assert ran.error is None
    assert [asked.place.page for asked in syncs.source.asked] == [0, 1, 1, 1]
    assert ran.result["streams"]["orders"]["in"] == 3
    assert [run["state"] for run in await runs(syncs)] == ["done"]


async def runs(syncs: SyncJobs) -> list[dict[str, Any]]:
    found = await syncs.rows("SELECT id, state, error FROM celeriac_sync_run ORDER BY started_at")
    return [dict(zip(("id", "state", "error"), row, strict=True)) for row in found]


async def test_of_two_jobs_the_second_is_skipped_while_the_first_waits_for_its_source(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    held = await syncs.database.write(lambda c: LEASES.take(c, "shop", "job-1"))
    assert isinstance(held, Lease)
    outcome = await syncs.outcome({"orders": [changed(1)]})
    assert outcome["state"] == "skipped"
    assert outcome["reason"] == "job job-1 is running the sync 'shop'"
    assert syncs.source.asked == []
    await syncs.database.write(held.release)
    assert (await syncs.outcome())["state"] == "done"


async def test_a_run_that_has_lost_its_lock_writes_nothing_any_more(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)

    async def is_committed() -> bool:
        return await syncs.rows("SELECT pending FROM celeriac_sync_state") == [("1",)]

    class Usurped(type(syncs.source)):
        async def pages(self, asked: Any) -> Any:
            async for page in super().pages(asked):
                if page.page == 1:  # the first page is committed while this one is asked for
                    await eventually(is_committed)
                    await syncs.database.write(lambda c: c.exec_driver_sql("UPDATE celeriac_sync_lock SET token = 99"))
                yield page

    syncs.source = Usurped({"orders": [changed(1), changed(2, start=2), changed(3, start=3)]})
    before = len(syncs.jobs.all)
    await syncs.app.client.submit(syncs.family.call("shop"))
    assert isinstance(syncs.jobs.all[before].error, LeaseLost)
    assert await syncs.rows("SELECT id FROM orders") == [(1,)]


async def test_children_have_a_cursor_for_each_parent(syncs: SyncJobs) -> None:
    syncs.define(ISSUES, COMMENTS)
    await syncs.outcome(
        {
            "issues": [[{"id": 1}], [{"id": 2}]],
            "comments/1": [[{"id": 1, "at": 5}, {"id": 2, "at": 9}]],
            "comments/2": [[{"id": 1, "at": 3}]],
        }
    )
    query = "SELECT issues_id, id, at FROM comments ORDER BY issues_id, id"
    assert await syncs.rows(query) == [(1, 1, 5), (1, 2, 9), (2, 1, 3)]
    await syncs.outcome({"issues": [[{"id": 3}]], "comments/1": [[]], "comments/2": [[]], "comments/3": [[]]})
    asked = {asked.parent["id"]: asked.cursor for asked in syncs.source.asked if asked.parent}
    assert asked == {1: 9, 2: 3, 3: None}


async def test_children_go_on_with_the_parent_at_which_they_failed(syncs: SyncJobs) -> None:
    syncs.define(ISSUES, COMMENTS)
    parents = [[{"id": number} for number in range(10)]]
    pages: dict[str, Any] = {f"comments/{n}": [[{"id": 1, "at": n}], [{"id": 2, "at": n}]] for n in range(10)}
    await syncs.run({"issues": parents, **pages})
    order = [asked.parent["id"] for asked in syncs.source.asked if asked.parent]
    assert sorted(order) == list(range(10))
    failing = {f"comments/{order[4]}": [[{"id": 3, "at": 20}], SourceFailed("gone")]}
    await syncs.run({"issues": [[]], **pages, **failing})
    more = {f"comments/{order[4]}": [[], [{"id": 4, "at": 21}]]}
    outcome = await syncs.outcome({"issues": [[]], **pages, **more})
    left = [(asked.parent["id"], asked.place.page) for asked in syncs.source.asked if asked.parent]
    assert left == [(order[4], 1), *((number, 0) for number in order[5:])]
    assert outcome["streams"]["comments"]["pages"] == 4 * 2 + 1 + 1 + 5 * 2
    assert await syncs.rows("SELECT count(*) FROM comments") == [(22,)]


async def test_a_stream_that_fails_does_not_keep_others_from_being_read(syncs: SyncJobs) -> None:
    syncs.define({"name": "bad", "primary_key": "id"}, {"name": "good", "primary_key": "id"})
    ran = await syncs.run({"bad": [SourceFailed("404")], "good": [[{"id": 1}]]})
    assert str(ran.error) == "404"
    assert await syncs.rows("SELECT id FROM good") == [(1,)]
    ((run),) = await runs(syncs)
    assert (run["state"], run["error"]) == ("failed", "404")


async def test_a_source_that_asks_for_patience_keeps_the_lock_for_its_job(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    seen: list[Any] = []

    class Patient(type(syncs.source)):
        def choose(self, asked: Any) -> Any:
            seen.append(asked.place.page)
            return [changed(1), RunLater(3600, "rate limit"), []] if len(seen) == 1 else [[], [], []]

    syncs.source = Patient({})
    await syncs.app.client.submit(syncs.family.call("shop"))
    assert seen == [0, 1]
    assert syncs.jobs.all[-1].error is None


@pytest.mark.parametrize("cursor", ["chagned", "meta.changed"])
async def test_a_cursor_that_no_record_has_fails_the_run_and_the_dry_run_warns_of_it(
    syncs: SyncJobs, cursor: str
) -> None:
    syncs.define({**ORDERS, "cursor": cursor})
    pages = [[{"id": 1, "changed": 1}], [{"id": 2, "changed": 2}]]
    said = f"no record has the cursor '{cursor}'; they have id, changed"
    syncs.source = ListedSource({"orders": pages})
    seen = await syncs.family.actions.look("shop", StreamsForm())
    assert seen.streams["orders"].note == said
    for _ in range(2):  # it stays wrong
        ran = await syncs.run({"orders": pages})
        assert str(ran.error) == f"stream orders: {said}; correct `cursor`, or leave it out"
    assert await syncs.rows("SELECT count(*) FROM orders") == [(2,)]


async def test_a_cursor_that_some_record_has_or_that_is_null_is_right(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    for pages in ([[{"id": 1}], [{"id": 2, "changed": 2}]], [[{"id": 3, "changed": None}]], [[]]):
        assert (await syncs.outcome({"orders": pages}))["state"] == "done"
