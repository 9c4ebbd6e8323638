"""Runs of policies on real databases: what goes, what stays, and what is told."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.context import JobContext
from celeriac.core.errors import LeaseLost, RunLater
from celeriac.families.cleanup import locks, views
from celeriac.families.cleanup.errors import PolicyInvalid, TableRefused
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.runs import Runner
from tests.support.cleanup_shop import NEW, OLD, Shop, policy


async def audit(shop: Shop, columns: str) -> list[tuple[Any, ...]]:
    return await shop.query(f"SELECT {columns} FROM celeriac_cleanup_chunk ORDER BY run_id, number")


async def position(shop: Shop) -> str | None:
    [(found,)] = await shop.query("SELECT position FROM celeriac_cleanup_lock")
    return found


async def test_old_rows_go_with_the_last_one_and_young_ones_stay(shop: Shop) -> None:
    await shop.add_orders(601)
    result = await shop.run(policy(chunk={"rows": 100}))

    assert result.state == "done"
    assert result.rows == {"orders": 501}
    assert await shop.ids() == list(range(6, 601, 6))
    assert sum(row[0] for row in await audit(shop, "row_count")) == 501


async def test_an_archive_has_what_the_table_had(shop: Shop) -> None:
    await shop.add_orders(30)
    result = await shop.run(policy(action="archive"))

    [file] = result.files
    assert (file.table, file.rows) == ("orders", 25)
    archived = await shop.archived()
    assert [int(row["id"]) for row in archived] == [n for n in range(1, 31) if n % 6]
    assert archived[0]["note"] == 'order 1, "quoted" ü'
    assert archived[2]["note"] == r"\N"


async def test_an_expression_of_the_users_own_chooses_with_bound_values(shop: Shop) -> None:
    await shop.add_orders(12)
    where = {"sql": "status = :status AND note LIKE '%quoted%' AND note <> ':status'", "parameters": {"status": "s1"}}
    await shop.run(policy(where=where))
    assert await shop.ids() == [n for n in range(1, 13) if n % 4 != 1 or n % 3 == 0]


@pytest.mark.parametrize("sql", ["status = 'x' OR", "no_such_column = 1", "status = 'x') OR ('a' = 'a'"])
async def test_the_database_or_we_refuse_sql_that_is_wrong(shop: Shop, sql: str) -> None:
    await shop.add_orders(6)
    with pytest.raises((PolicyInvalid, ValueError), match="where"):
        await shop.run(policy(where={"sql": sql}))
    assert len(await shop.ids()) == 6


async def test_keys_of_several_columns_and_types(shop: Shop) -> None:
    await shop.create(
        "CREATE TABLE visits (day DATE, name VARCHAR(20), number BIGINT, created_at TIMESTAMP, "
        "PRIMARY KEY (name, number, day))"
    )
    rows = [
        {
            "day": OLD.date(),
            "name": f"n{n % 3}",
            "number": n,
            "created_at": (NEW if n % 4 == 0 else OLD).replace(tzinfo=None),
        }
        for n in range(100)
    ]
    await shop.insert(
        "visits",
        [{**row, "day": row["day"].isoformat() if shop.database.dialect == "sqlite" else row["day"]} for row in rows],
    )
    shop.tables.add("shop.visits")
    result = await shop.run(policy(table="visits", chunk={"rows": 7}, action="archive"))
    assert result.rows == {"visits": 75}
    assert await shop.query("SELECT count(*) FROM visits WHERE number % 4 <> 0") == [(0,)]
    assert len({row["number"] for row in await shop.archived("visits")}) == 75


async def test_a_table_that_is_not_allowed_is_refused(shop: Shop) -> None:
    await shop.add_orders(6)
    shop.tables.clear()
    with pytest.raises(TableRefused, match=r"shop\.orders to CELERIAC_CLEANUP_TABLES"):
        await shop.run(policy())
    assert len(await shop.ids()) == 6


async def test_a_table_without_a_key_is_refused_with_advice(shop: Shop) -> None:
    await shop.create("CREATE TABLE log (created_at TIMESTAMP, line VARCHAR(20))")
    await shop.insert("log", [{"created_at": OLD.replace(tzinfo=None), "line": str(n)} for n in range(10)])
    shop.tables.add("shop.log")
    if shop.database.dialect == "sqlite":  # it numbers its rows itself
        assert (await shop.run(policy(table="log"))).rows == {"log": 10}
    else:
        with pytest.raises(TableRefused, match=r"no primary key.*ADD COLUMN"):
            await shop.run(policy(table="log"))


async def test_a_budget_ends_a_run_and_the_next_one_goes_on(shop: Shop) -> None:
    await shop.add_orders(60)
    first = await shop.run(policy(budget={"rows": 20}, chunk={"rows": 7}), "job-1")
    assert (first.state, first.rows) == ("budget", {"orders": 20})
    assert await position(shop) == "[23]"
    second = await shop.run(policy(budget={"rows": 20}, chunk={"rows": 7}), "job-2")
    third = await shop.run(policy(budget={"rows": 20}, chunk={"rows": 7}), "job-3")
    assert (second.rows, third.state, third.rows) == ({"orders": 20}, "done", {"orders": 10})
    assert await position(shop) is None


async def test_two_jobs_never_work_on_one_policy(shop: Shop) -> None:
    await shop.add_orders(60)
    held = await shop.database.write(lambda c: locks.acquire(c, "old-orders", "job-1", ""))
    assert isinstance(held, locks.Lease)
    result = await shop.run(policy(), "job-2")
    assert (result.state, result.reason) == ("skipped", "job job-1 works on the policy")
    assert len(await shop.ids()) == 60
    assert (await shop.run(policy(), "job-1")).rows == {"orders": 50}, "the same job takes it over"
    with pytest.raises(LeaseLost):  # the worker that had it before
        await shop.database.write(lambda c: locks.fence(c, held, None))


async def test_a_worker_that_lost_its_lease_commits_nothing_more(shop: Shop) -> None:
    await shop.add_orders(60)
    stolen = False

    async def steal() -> Hold | None:
        nonlocal stolen
        if not stolen and len(await shop.ids()) < 60:
            stolen = True
            await shop.execute("UPDATE celeriac_cleanup_lock SET token = token + 1, holder = 'job-2'")
        return None

    shop.gates = [steal]
    with pytest.raises(LeaseLost):
        await shop.run(policy(action="archive", chunk={"rows": 10}))
    assert len(await shop.ids()) == 50
    assert len(await shop.archived()) == 10
    [file] = shop.archives.glob("*.csv.gz")
    assert len(gzip.decompress(file.read_bytes()).splitlines()) == 11, "the line of names, and what is committed"


async def test_a_run_whose_lock_another_job_has_got_meanwhile_ends_in_the_list_as_well(shop: Shop) -> None:
    await shop.add_orders(60)

    async def hold() -> Hold | None:
        return Hold("the window is closed", 3600)

    shop.gates = [hold]
    with pytest.raises(RunLater):
        await shop.run(policy())
    await shop.execute("UPDATE celeriac_cleanup_lock SET until = 1")
    await shop.database.write(lambda c: locks.acquire(c, "old-orders", "job-2", ""))
    assert (await shop.run(policy())).state == "skipped"
    assert await shop.query("SELECT id, state FROM celeriac_cleanup_run") == [("job-1", "failed")]


async def test_a_pause_takes_effect_within_one_chunk_and_a_later_run_goes_on(shop: Shop) -> None:
    await shop.add_orders(60)

    async def pause() -> Hold | None:
        if len(await shop.ids()) == 40:
            await shop.database.write(lambda c: locks.pause(c, "old-orders", force=False))
        return None

    shop.gates = [pause]
    paused = await shop.run(policy(action="archive", chunk={"rows": 10}))
    assert (paused.state, paused.rows) == ("paused", {"orders": 20})
    assert len(await shop.ids()) == 40
    assert [file.rows for file in paused.files] == [20]

    shop.gates = []
    assert (await shop.run(policy(action="archive"), "job-2")).state == "paused"
    await shop.database.write(lambda c: locks.resume(c, "old-orders"))
    assert (await shop.run(policy(action="archive"), "job-3")).rows == {"orders": 30}
    assert len(await shop.archived()) == 50


async def test_a_run_that_was_paused_before_it_began_is_one_to_go_on_with(shop: Shop) -> None:
    await shop.add_orders(12)
    await shop.database.write(lambda c: locks.pause(c, "old-orders", force=False))
    for job in ("job-1", "job-2"):
        assert (await shop.run(policy(), job, who="ann")).state == "paused"
    runs = await shop.query("SELECT id, state, who, ended_at IS NOT NULL FROM celeriac_cleanup_run")
    assert [(*run[:3], bool(run[3])) for run in runs] == [("job-1", "paused", "ann", True)], "one is enough"
    found = await shop.database.look(lambda c: views.state_of(c, policy()))
    assert found.last_run is not None and found.last_run.state == "paused"


async def test_a_run_that_goes_on_tells_of_what_it_has_done_before(shop: Shop) -> None:
    await shop.add_orders(60)
    told: list[tuple[float, float | None]] = []
    job = JobContext(id="job-1", report=lambda _, progress: told.append((progress.done, progress.total)))

    async def hold() -> Hold | None:
        return Hold("busy", 3600) if len(await shop.ids()) == 40 else None

    with pytest.raises(RunLater):
        await Runner(policy(chunk={"rows": 10}), shop.place, job, [hold]).run("test")
    assert told == [(10, 50), (20, 50)]
    await Runner(policy(chunk={"rows": 30}), shop.place, job).run("test")
    assert told[2:] == [(50, 50)]


async def test_a_pause_while_a_run_waits_ends_that_and_the_next_one_goes_on(shop: Shop) -> None:
    await shop.add_orders(60)

    async def hold_after_twenty() -> Hold | None:
        return Hold("busy", 3600) if len(await shop.ids()) == 40 else None

    shop.gates = [hold_after_twenty]
    with pytest.raises(RunLater):
        await shop.run(policy(chunk={"rows": 10}))
    await shop.database.write(lambda c: locks.pause(c, "old-orders", force=False))
    assert (await shop.run(policy(chunk={"rows": 10}))).state == "paused"
    assert await shop.query("SELECT id, state FROM celeriac_cleanup_run") == [("job-1", "paused")]
    await shop.database.write(lambda c: locks.resume(c, "old-orders"))
    shop.gates = []
    assert (await shop.run(policy(), "job-2")).rows == {"orders": 30}


async def test_a_forced_pause_frees_the_lock_and_stops_a_worker_even_after_the_resume(shop: Shop) -> None:
    await shop.add_orders(60)

    async def pause_and_resume() -> Hold | None:
        if len(await shop.ids()) == 40:
            await shop.database.write(lambda c: locks.pause(c, "old-orders", force=True))
            await shop.database.write(lambda c: locks.resume(c, "old-orders"))
        return None

    shop.gates = [pause_and_resume]
    with pytest.raises(LeaseLost):
        await shop.run(policy(chunk={"rows": 10}))
    assert len(await shop.ids()) == 40
    shop.gates = []
    assert (await shop.run(policy(), "job-2")).state == "done"


async def test_a_failing_first_chunk_after_a_resume_keeps_the_position(shop: Shop, tmp_path: Path) -> None:
    await shop.add_orders(60)
    await shop.run(policy(action="archive", budget={"rows": 20}), "job-1")
    kept = await position(shop)
    assert kept == "[23]"
    shop.archives = tmp_path / "missing" / "folder"
    for _ in range(2):
        with pytest.raises(Exception, match="missing"):
            await shop.run(policy(action="archive"), "job-2")
        assert await position(shop) == kept
    assert len(await shop.ids()) == 40


async def test_a_row_that_changes_between_archive_and_delete_is_archived_as_it_is_then(shop: Shop) -> None:
    await shop.add_orders(12)
    append = _changing_append(shop)
    with append:
        result = await shop.run(policy(action="archive"))
    assert result.repeated_chunks == 1
    archived = await shop.archived()
    assert {row["id"]: row["note"] for row in archived}["1"] == "changed"
    assert len(archived) == 10


def _changing_append(shop: Shop) -> Any:
    """Have an order changed by somebody else after it was archived, and before it is deleted."""
    from unittest.mock import patch

    from celeriac.families.cleanup.archives_csv import CsvArchive

    append, changed = CsvArchive.append, False

    async def append_and_change(archive: CsvArchive, rows: Any) -> Any:
        nonlocal changed
        member = await append(archive, rows)
        if not changed:
            changed = True
            await shop.execute("UPDATE orders SET note = 'changed' WHERE id = 1")
        return member

    return patch.object(CsvArchive, "append", append_and_change)


async def test_a_long_wait_gives_the_slot_back_and_nothing_is_open_meanwhile(shop: Shop) -> None:
    await shop.add_orders(60)
    asked = 0

    async def hold_once() -> Hold | None:
        nonlocal asked
        asked += 1
        return Hold("the window is closed", 3600) if asked == 3 else None

    shop.gates = [hold_once]
    with pytest.raises(RunLater) as later:
        await shop.run(policy(chunk={"rows": 10}))
    assert (later.value.seconds, later.value.reason) == (3600, "the window is closed")
    waiting = (await shop.database.look(lambda c: views.state_of(c, policy()))).last_run
    assert waiting is not None
    assert (waiting.state, waiting.error, waiting.ended_at) == ("waiting", "the window is closed", None)
    assert len(await shop.ids()) == 40
    assert (await shop.run(policy(), "job-2")).state == "skipped"
    shop.gates = []
    assert (await shop.run(policy())).rows == {"orders": 50}
    done = (await shop.database.look(lambda c: views.state_of(c, policy()))).last_run
    assert done is not None and (done.state, done.error) == ("done", None)
    assert done.milliseconds >= waiting.milliseconds


async def test_a_cancelled_run_leaves_whole_chunks_and_a_complete_archive(shop: Shop) -> None:
    await shop.add_orders(60)
    running: asyncio.Task[Any] | None = None

    async def cancel() -> Hold | None:
        if len(await shop.ids()) == 40:
            assert running is not None
            running.cancel()
            await asyncio.sleep(0)
        return None

    shop.gates = [cancel]
    running = asyncio.ensure_future(shop.run(policy(action="archive", chunk={"rows": 10})))
    with pytest.raises(asyncio.CancelledError):
        await running
    shop.gates = []
    archived = {int(row["id"]) for row in await shop.archived()}
    left = set(await shop.ids())
    assert archived | left == set(range(1, 61))
    assert not archived & left
    assert (await shop.run(policy(action="archive"))).rows == {"orders": 50}


async def test_after_many_rows_the_result_says_what_renews_the_statistics_or_that_it_is_done(shop: Shop) -> None:
    await shop.add_orders(12_100)
    hinted = await shop.run(policy(budget={"rows": 10_050}))
    [hint] = hinted.hints
    assert hint.startswith("10,050 rows of orders have changed: ")
    assert "ANALYZE" in hint
    assert (await shop.run(policy(), "job-2")).hints == [], "too few"


async def test_statistics_are_renewed_if_the_policy_wants_it(shop: Shop) -> None:
    await shop.add_orders(12_100)
    done = await shop.run(policy(analyze=True))
    [hint] = done.hints
    assert hint.endswith("orders is done")
